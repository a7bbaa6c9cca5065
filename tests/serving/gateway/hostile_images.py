"""Broken and hostile pictures; loaded by path, because tests are no package."""

import io
import json
import struct
import zipfile
import zlib
from typing import NamedTuple

import numpy as np
from PIL import Image, PngImagePlugin

CUTS = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97)
FORMATS = ("jpeg", "png", "bmp", "gif", "webp")
MIB = 1 << 20
SIGNATURE_BYTES = 8


class Hostile(NamedTuple):
    """One upload, and what it must be answered with.

    Fields: title, data, status, words (part of the message), name (of the file), content_type, and
    is_readable: the default settings accept it, because the model reads it as in training.
    """

    title: str
    data: bytes
    status: int
    words: str
    name: str = "upload.bin"
    content_type: str = ""
    is_readable: bool = False


def photo(width=90, height=70):
    rng = np.random.default_rng(5)
    grid = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC)


def encode(image_format, image=None, **options):
    file = io.BytesIO()
    (image or photo()).save(file, image_format.upper(), **options)
    return file.getvalue()


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width, height, raw, *, depth=8, colour=2, extra=b"", interlace=0):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    body = png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", zlib.compress(raw, 9))
    return b"\x89PNG\r\n\x1a\n" + body + png_chunk(b"IEND", b"")


def bmp_header(width, height, *, bits=24, compression=0, header_bytes=40):
    info = struct.pack("<IiiHHIIiiII", header_bytes, width, height, 1, bits, compression, *[0] * 5)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info


def jpeg_segment(marker, body):
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def with_segments(*segments):
    data = encode("jpeg")
    return data[:2] + b"".join(segments) + data[2:]


def zip_archive():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("evil.sh", "rm -rf /")
    return file.getvalue()


def gif_comment(text):
    return b"\x21\xfe" + bytes((len(text),)) + text + b"\0"


def gif_script(ending):
    # "GIF89a/*" ... "*/=1;" is a JavaScript program; the width of the screen is "/*".
    plain = bytearray(encode("gif", photo(20, 10).convert("P")))
    plain[6:8], plain[8:10] = b"/*", b"\x01\x00"
    palette = 13 + (3 << (plain[10] & 7) + 1)
    return (
        bytes(plain[:palette]) + gif_comment(b"*/=1;alert(1)//") + bytes(plain[palette:]) + ending
    )


def frames(image_format):
    others = [photo().rotate(angle) for angle in (90, 180)]
    return encode(image_format, save_all=True, append_images=others)


def truncations():
    wholes = {name: encode(name) for name in FORMATS}
    wholes["progressive jpeg"] = encode("jpeg", progressive=True)
    wholes["interlaced png"] = png(
        8, 8, bytes(4 + 4 + 2 * 7 + 2 * 7 + 4 * 13 + 4 * 13 + 4 * 25), interlace=1
    )
    wholes["lossless webp"] = encode("webp", lossless=True)
    thumbnail = Image.Exif()
    wholes["jpeg with a thumbnail"] = with_segments(
        jpeg_segment(0xE1, b"Exif\0\0" + thumbnail.tobytes() + encode("jpeg", photo(16, 16)))
    )
    for name, whole in wholes.items():
        for share in CUTS:
            yield f"{name} cut to {share:.0%}", whole[: int(len(whole) * share)]
        yield f"{name} without its last byte", whole[:-1]
    yield "jpeg without its end mark", wholes["jpeg"][:-2]
    yield "png without its end chunk", wholes["png"][:-12]


def bombs():
    side = 60_000
    yield Hostile("png that promises 3.6 gigapixels", png(side, side, b"\0"), 413, "60000x60000")
    gif = bytearray(encode("gif", photo().convert("P")))
    gif[6:10] = struct.pack("<HH", 65_535, 65_535)
    yield Hostile("gif that promises 4.3 gigapixels", bytes(gif), 413, "65535x65535 pixels")
    data = bmp_header(side, side) + bytes(100)
    yield Hostile("bmp that promises 3.6 gigapixels", data, 413, "60000x60000 pixels")
    data = bmp_header(30_000, -30_000) + bytes(100)
    yield Hostile("bmp from top to bottom that promises 900 megapixels", data, 413, "30000x30000")
    jpeg = bytearray(encode("jpeg"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65_500, 65_500)
    yield Hostile("jpeg that promises 4.3 gigapixels", bytes(jpeg), 413, "65500x65500 pixels")
    webp = bytearray(encode("webp", lossless=True))
    webp[21:25] = struct.pack("<I", 0x3FFF << 14 | 0x3FFF)  # 16384 x 16384
    yield Hostile("webp that promises 268 megapixels", bytes(webp), 413, "16384x16384 pixels")
    rows = bytes(31 * 10)
    yield Hostile(
        "png of 10x10 that inflates to 64 MiB",
        png(10, 10, rows + bytes(64 * MIB)),
        422,
        "inflates to more than the 310 bytes",
    )
    for kind, start in ((b"zTXt", b"Comment\0\0"), (b"iCCP", b"profile\0\0")):
        chunk = png_chunk(kind, start + zlib.compress(bytes(64 * MIB), 9))
        yield Hostile(
            f"png whose {kind.decode()} inflates to 64 MiB",
            png(10, 10, rows, extra=chunk),
            422,
            "the png header is damaged: Decompressed data too large",
        )
    late = png(10, 10, rows)[:-12] + chunk.replace(b"iCCP", b"zTXt") + png_chunk(b"IEND", b"")
    yield Hostile("png with a damaged chunk behind its pixels", late[:-40], 422, "cut off")
    jpeg = encode("jpeg", progressive=True)
    scan = jpeg.rindex(b"\xff\xda")
    yield Hostile(
        "progressive jpeg of 5000 scans",
        jpeg[:scan] + jpeg[scan:-2] * 5000 + jpeg[-2:],
        422,
        "more than 100 scans",
    )
    chunks = png_chunk(b"tEXt", b"") * 200_000
    yield Hostile("png of 200,000 chunks", png(10, 10, rows, extra=chunks), 422, "100000 chunks")
    many = b"\x21\xfe" + b"\1a" * 200_000 + b"\0"
    gif = encode("gif", photo().convert("P"))
    yield Hostile("gif of 200,000 blocks", gif[:-1] + many + b";", 422, "100000 blocks")


def polyglots():
    page = b"<html><script>alert(document.cookie)</script></html>"
    end = "after its end"
    jpeg, gif, archive = encode("jpeg"), encode("gif", photo().convert("P")), zip_archive()
    yield Hostile("jpeg and html behind it", jpeg + page, 422, f"{end}: an HTML page")
    yield Hostile(
        "jpeg with html in its comment",
        with_segments(jpeg_segment(0xFE, page)),
        422,
        "holds '<html' at byte 6",
    )
    yield Hostile(
        "jpeg with php in its exif",
        with_segments(jpeg_segment(0xE1, b"Exif\0\0<?php eval(1);")),
        422,
        "holds '<?php' at byte 12",
    )
    yield Hostile("jpeg and a jpeg and html", jpeg * 2 + page, 422, "holds '<html'")
    yield Hostile(
        "jpeg and a film that is a zip", jpeg + b"\0\0\0\x18ftypmp42" + archive, 422, "zip"
    )
    yield Hostile("jpeg and a pdf", jpeg + b"%PDF-1.7\n%%EOF", 422, f"{end}: a PDF document")
    yield Hostile("jpeg and a program", jpeg + b"\x7fELF" + bytes(90), 422, f"{end}: a program")
    yield Hostile("gif and javascript behind it", gif + b"*/=1;alert(1)", 422, f"{end}: text")
    yield Hostile("gif that is javascript", gif_script(b""), 422, "is a JavaScript program")
    for name in ("png", "bmp", "webp", "gif"):
        whole = encode(name)
        yield Hostile(f"{name} and a zip behind it", whole + archive, 422, f"{end}: a zip archive")
    hidden = png(10, 10, bytes(310))[:-12] + png_chunk(b"prVt", archive) + png_chunk(b"IEND", b"")
    data = hidden[: hidden.index(b"PK\5\6") + 20] + struct.pack("<H", 16) + hidden[-16:]
    yield Hostile("png with a zip in a chunk", data, 422, "is a zip archive as well")
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "<svg onload=alert(1)>")
    yield Hostile("png with svg in its text", encode("png", pnginfo=text), 422, "holds '<svg'")
    data = encode("webp", xmp=b"<!DOCTYPE html><body onload=alert(1)>")
    yield Hostile("webp with html in its xmp", data, 422, "holds '<!DOCTYPE html'")
    gap = bytearray(encode("bmp"))
    gap[10:14] = struct.pack("<I", 54 + 60)
    gap[54:54] = page + bytes(60 - len(page))
    yield Hostile("bmp with html before its pixels", bytes(gap), 422, "holds '<html'")


def no_images():
    svg = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    xml = (
        b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]><svg>&b;</svg>"
    )
    kinds = {
        "html": (b"<!DOCTYPE html><title>a</title>", "is an HTML page"),
        "svg": (svg, "is an SVG drawing"),
        "svg with an entity": (xml, "is an XML or SVG document"),
        "pdf": (b"%PDF-1.7\n", "is a PDF document"),
        "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "is a PostScript document"),
        "zip": (zip_archive(), "is a zip archive"),
        "gzip bomb": (b"\x1f\x8b" + bytes(100), "is a gzip archive"),
        "tiff": (encode("tiff"), "is a TIFF image"),
        "avif": (encode("avif"), "is an AVIF image"),
        "icon": (encode("ico"), "is a Windows icon"),
        "json": (json.dumps({"image": "a"}).encode(), "is JSON text"),
        "text": (b"not an image, although its name says so", "is text"),
        "zeros": (bytes(1000), "holds only zero bytes"),
        "program": (b"\x7fELF\2\1\1", "is a program"),
        "postscript bitmap": (b"P6 9999999 9999999 255\n", "is text"),
        "noise": (np.random.default_rng(1).bytes(5000), "of an unknown kind"),
        "signature alone": (b"BM", "is text"),
    }
    for title, (data, words) in kinds.items():
        for name, content_type in (("photo.jpg", "image/jpeg"), ("../../etc/x.png", "image/png")):
            yield Hostile(f"{title} called {name}", data, 415, words, name, content_type)


def damaged():
    yield Hostile("nothing", b"", 400, "is empty", "photo.jpg", "image/jpeg")
    for name in FORMATS:
        whole = encode(name)
        status = 415 if name == "bmp" else 422  # "BM" begins texts too
        yield Hostile(f"{name} of a header alone", whole[:14], status, "")
    for start in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\x40\0\0\0WEBP"):
        yield Hostile(
            f"{start[:4]!r} and noise", start + np.random.default_rng(2).bytes(500), 422, ""
        )
    yield Hostile("png of no rows", png(9, 0, b"\0"), 422, "no width and height above 0")
    yield Hostile("bmp of no columns", bmp_header(0, 9) + bytes(9), 422, "")
    broken = bytearray(encode("png"))
    broken[-40] ^= 0xFF
    yield Hostile("png with a wrong check sum", bytes(broken), 422, "the png pixels are damaged")
    whole = png(10, 10, bytes(100))
    yield Hostile("png of too few rows", whole, 422, "the png pixels are damaged")
    for bits, compression, name in ((1, 0, "1 bit"), (16, 0, "16 bits"), (8, 1, "run lengths")):
        data = bmp_header(8, 8, bits=bits, compression=compression) + bytes(5000)
        yield Hostile(f"bmp of {name}", data, 422, "")
    noise = np.random.default_rng(3).integers(0, 256, (2000, 2000, 3), dtype=np.uint8)
    data = encode("png", Image.fromarray(noise))
    yield Hostile("png of 12 MB", data, 413, "bytes", "photo.png", "image/png")


def headers():
    blocks = [jpeg_segment(0xE1, bytes(65_000)) for _ in range(70)]
    yield Hostile("jpeg with 4.5 MB of metadata", with_segments(*blocks), 413, "bytes of metadata")
    chunk = png_chunk(b"prVt", bytes(5 * MIB))
    data = png(10, 10, bytes(310), extra=chunk)
    yield Hostile("png with 5 MB of metadata", data, 413, "5242880 bytes of metadata")
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 0xFFFF) + bytes(60_000)
    data = with_segments(jpeg_segment(0xE1, exif)) + b"<script>"
    yield Hostile("jpeg with a huge directory and a script", data, 422, "after its end")


def readable():
    grey16 = png(4, 4, b"\0abcdefgh" * 4, depth=16, colour=0)
    rgb16 = png(2, 2, (b"\0" + b"ab" * 6) * 2, depth=16)
    alpha = Image.merge("RGBA", (*photo().split(), photo().convert("L")))
    yield Hostile("grey png of 16 bits", grey16, 422, "is 16-bit", is_readable=True)
    yield Hostile("colour png of 16 bits", rgb16, 422, "is 16-bit", is_readable=True)
    yield Hostile(
        "cmyk jpeg", encode("jpeg", photo().convert("CMYK")), 422, "is cmyk", is_readable=True
    )
    for name in ("png", "webp"):
        data = encode(name, alpha)
        yield Hostile(f"{name} with alpha", data, 422, "is alpha", is_readable=True)
    palette = photo().convert("P")
    for name in ("png", "gif"):
        data = encode(name, palette, transparency=palette.getpixel((9, 9)))
        yield Hostile(f"{name} with a clear colour", data, 422, "is alpha", is_readable=True)
    for name, content_type in (
        ("photo.png", ""),
        ("", "image/png"),
        ("run.exe", ""),
        ("a.html", ""),
    ):
        yield Hostile(
            f"jpeg called {name or content_type}",
            encode("jpeg"),
            415,
            "is mislabelled",
            name,
            content_type,
            is_readable=True,
        )


def animated():
    for name in ("gif", "png", "webp"):
        yield Hostile(f"animated {name}", frames(name), 422, "animated")
    still = bytearray(encode("webp", Image.new("RGBA", (9, 9), (1, 2, 3, 4)), lossless=True))
    if still[12:16] != b"VP8X":
        still[12:12] = b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + b"\x08\0\0" + b"\x08\0\0"
        still[4:8] = struct.pack("<I", len(still) - 8)
    still[20] |= 2
    yield Hostile("webp that only says it is animated", bytes(still), 422, "")


def make_corpus():
    """Make all of them; takes a second or two."""
    corpus = [
        Hostile(title, data, 422 if len(data) >= SIGNATURE_BYTES else 415, "")
        for title, data in truncations()
    ]
    for makers in (bombs, polyglots, no_images, damaged, headers, readable, animated):
        corpus.extend(makers())
    return corpus
