# Sourced by demo.sh and test.sh: makes `.venv` with everything pinned, once; afterwards it asks no network for anything.
# Usage: . scripts/environment.sh scripts/requirements.txt

requirements="$1"
stamp=".venv/installed-$(basename "$requirements")"
wanted="$(cat scripts/requirements-uv.txt "$requirements" pyproject.toml | cksum)"

find_python() {
    local name
    for name in python3 python3.14 python3.13 python3.12 python3.11 python; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    echo "Python 3.11 or newer is needed, but none of python3, python3.11 ... python3.14 is; install one first." >&2
    return 1
}

if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    echo "Setting up .venv (PyTorch is large; this happens once) ..."
    if [ ! -x .venv/bin/python ]; then
        python="$(find_python)"
        "$python" -m venv .venv || {
            rm -rf .venv
            echo "Python's venv module is missing; on Debian: apt-get install python3-venv" >&2
            exit 1
        }
    fi
    if command -v uv >/dev/null; then
        uv=uv
    else
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r scripts/requirements-uv.txt
        uv=.venv/bin/uv
    fi
    # Compiled once: torch takes twice as long to import where Python may not write bytecode itself.
    "$uv" pip install --quiet --compile-bytecode --python .venv/bin/python --require-hashes -r "$requirements"
    # --no-build-isolation: the build tools are among the pinned requirements.
    "$uv" pip install --quiet --python .venv/bin/python --no-deps --no-build-isolation --editable .
    echo "$wanted" > "$stamp"
fi

export PATH="$PWD/.venv/bin:$PATH"
export NO_ALBUMENTATIONS_UPDATE=1
