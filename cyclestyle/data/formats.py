"""Formats of pictures: those that folders are searched for, and those that people take for pictures as well."""

READ = {
    "JPEG": (".jpg", ".jpeg"),
    "PNG": (".png",),
    "WebP": (".webp",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
}
"""The formats that are read, with their endings; the first is the one to rename to."""

NOT_READ = {
    "GIF": (".gif",),
    "HEIC": (".heic", ".heif", ".hif"),
    "AVIF": (".avif", ".avifs"),
    "SVG drawing": (".svg", ".svgz"),
    "JPEG XL": (".jxl",),
    "JPEG XR": (".jxr",),
    "JPEG 2000": (".jp2", ".j2k", ".jpx", ".jpf"),
    "Photoshop file": (".psd", ".psb"),
    "Netpbm picture": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "OpenEXR picture": (".exr",),
    "Radiance picture": (".hdr",),
    "GIMP file": (".xcf",),
    "Windows icon": (".ico",),
    "TGA": (".tga",),
    "PCX": (".pcx",),
    "QOI": (".qoi",),
    "camera raw file": (
        *(".raw", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".dng", ".arw", ".srf", ".sr2", ".orf", ".rw2", ".raf"),
        *(".pef", ".srw", ".x3f", ".erf", ".kdc", ".mrw"),
    ),
    "": (".jfif", ".jpe", ".jif", ".mpo", ".dib", ".apng"),  # only the ending is strange: the content tells what it is
}
"""What is a picture to people and is not read, with its endings."""
MEANT = {ending: kind for kind, endings in NOT_READ.items() for ending in endings}
