"""`cyclestyle serve`."""

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from pydantic import Field


def serve(
    painter: Path,
    *,
    port: Annotated[int, Field(ge=0, le=65535)] = 8000,
    open: Annotated[bool, Parameter(negative=())] = False,
    bundle: Path | None = None,
    back: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """A page on which a photo becomes a painting, in the browser: nothing is uploaded.

    Serves it to this machine alone until Ctrl+C; or writes it into a folder, which any server of files can serve.

    Parameters
    ----------
    painter
        A `painter.onnx`, made by `cyclestyle export`; or a run folder, a `paint.safetensors` or the reference
        implementation's `latest_net_G.pth`, which is exported first.
    port
        At which it is served; 0 takes any that is free.
    open
        Also open it in the browser.
    bundle
        Write the page's files into this folder instead, to be put on a host of static files (GitHub Pages ...), also
        below a path of it. They name no host, and need no special headers.
    back
        Of a run folder, take the painter of the other way: paintings to photos.
    """
    if bundle is not None and open:
        raise ValueError("--bundle writes files and serves nothing that could be opened; leave out --bundle or --open")
    from cyclestyle.serving.exported import exported
    from cyclestyle.serving.server import Server
    from cyclestyle.serving.site import build_site, write_bundle

    with exported(painter, back=back) as model:
        site = build_site(model, kept=bundle is not None)
    if bundle is not None:
        write_bundle(site, bundle)
        size, visit = site.size / 1e6, site.visit / 1e6
        print(f"{len(site.files)} files, {size:.1f} MB, of which a visitor loads {visit:.1f} at most: {bundle}")
        print(f"try it: python -m http.server --bind 127.0.0.1 --directory {bundle}")
        return
    with Server(site, port) as server:
        print(f"look: {server.address} (Ctrl+C ends it)", flush=True)
        if open:
            import webbrowser

            if not webbrowser.open(server.address):
                print(f"no browser could be started; type {server.address} into yours", file=sys.stderr)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("ended", file=sys.stderr)
