#!/usr/bin/env bash
# Bring ONNX Runtime Web into the package again: the few files that the browser painter takes of it, its licences, and
# where all of it is from. For another version: change both versions and integrities here, run it, run the tests.
# Needs npm, pip, openssl and gzip, each with whatever index it is set up for.
set -euo pipefail
here="$(cd "$(dirname "$0")/.." && pwd)/cyclestyle/serving/runtime"
version=1.30.0
npm_integrity='sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=='
wheel_sha256=fd54b314ea385bcecac69ab431f020ba503e3878dad4ebb645fec5a24b041242

aside="$(mktemp -d)"
trap 'rm -rf "$aside"' EXIT
cd "$aside"

npm pack --silent "onnxruntime-web@$version"
found="sha512-$(openssl dgst -sha512 -binary "onnxruntime-web-$version.tgz" | openssl base64 -A)"
[ "$found" = "$npm_integrity" ] || { echo "onnxruntime-web-$version.tgz is not the one that is known: $found" >&2; exit 1; }
tar xzf "onnxruntime-web-$version.tgz"

# The package on npm holds no licence text; the wheel of the same version, made of the same source, does.
python3 -m pip download --quiet --no-deps --only-binary :all: --python-version 3.11 --platform manylinux_2_28_x86_64 \
    "onnxruntime==$version"
found="$(openssl dgst -sha256 -r onnxruntime-*.whl | cut -d ' ' -f 1)"
[ "$found" = "$wheel_sha256" ] || { echo "the wheel is not the one that is known: $found" >&2; exit 1; }
python3 -m zipfile -e onnxruntime-*.whl wheel

# Two builds, of which a visitor loads one: the plain one, and the one with WebGPU that needs JavaScript promise
# integration (Chrome, Edge). The third, for WebGPU without it, is twice as large and half as fast on a CPU.
# Scripts end in .js: not every server knows what .mjs is, and a module of another type is not run.
rm -rf "$here"
mkdir -p "$here"
cp package/dist/ort.wasm.bundle.min.mjs "$here/plain.js"
cp package/dist/ort.jspi.bundle.min.mjs "$here/webgpu.js"
gzip -9n < package/dist/ort-wasm-simd-threaded.wasm > "$here/plain.wasm.gz"
gzip -9n < package/dist/ort-wasm-simd-threaded.jspi.wasm > "$here/webgpu.wasm.gz"
cp wheel/onnxruntime/LICENSE "$here/LICENSE.txt"
cp wheel/onnxruntime/ThirdPartyNotices.txt "$here/ThirdPartyNotices.txt"

digest() { openssl dgst -sha256 -r "$1" | cut -d ' ' -f 1; }
cat > "$here/origin.json" <<END
{
  "package": "onnxruntime-web",
  "version": "$version",
  "integrity": "$npm_integrity",
  "licence": "MIT",
  "licences from": "onnxruntime $version, wheel of SHA-256 $wheel_sha256",
  "sha256": {
    "plain.js": "$(digest package/dist/ort.wasm.bundle.min.mjs)",
    "plain.wasm": "$(digest package/dist/ort-wasm-simd-threaded.wasm)",
    "webgpu.js": "$(digest package/dist/ort.jspi.bundle.min.mjs)",
    "webgpu.wasm": "$(digest package/dist/ort-wasm-simd-threaded.jspi.wasm)"
  }
}
END
ls -l "$here"
