import hashlib
import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from trainables.data.pictures import decode, examine, quiet
from trainables.data.reading import Item, in_order
from trainables.errors import DataError
from trainables.trial import Source

RED, WHITE = (200, 30, 40), (255, 255, 255)


def encoded(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def pixels(content, side=None):
    return decode(Item("photo", content), side)[1]


def noise(height, width):
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3))
    return Image.fromarray(values.astype(np.uint8))


def huge_png(width, height):
    """A PNG of a few bytes that claims to have many pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b""))
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in chunks:
        data += struct.pack(">I", len(body)) + kind + body
        data += struct.pack(">I", zlib.crc32(kind + body))
    return data


class TestKinds:
    @pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM"])
    def test_lossless_forms_come_back_exactly(self, form):
        image = noise(5, 7)
        assert np.array_equal(pixels(encoded(image, form)), np.asarray(image))

    def test_lossless_webp(self):
        image = noise(5, 7)
        assert np.array_equal(pixels(encoded(image, "WEBP", lossless=True)), np.asarray(image))

    @pytest.mark.parametrize("form", ["JPEG", "GIF"])
    def test_lossy_forms_come_back_nearly(self, form):
        plain = pixels(encoded(Image.new("RGB", (16, 16), RED), form))
        assert plain.shape == (16, 16, 3)
        assert abs(plain.astype(int) - RED).max() <= 3

    def test_grey(self):
        assert pixels(encoded(Image.new("L", (2, 2), 77))).tolist() == [[[77] * 3] * 2] * 2

    def test_one_bit(self):
        assert pixels(encoded(Image.new("1", (1, 1), 1))).tolist() == [[[255] * 3]]

    def test_sixteen_bit_grey_is_scaled_not_clipped(self):
        image = Image.fromarray(np.array([[0, 257 * 100, 65535]], dtype=np.uint16))
        assert pixels(encoded(image))[0, :, 0].tolist() == [0, 100, 255]

    def test_palette(self):
        image = Image.new("RGB", (2, 2), RED).convert("P", palette=Image.Palette.ADAPTIVE)
        assert pixels(encoded(image))[0, 0].tolist() == list(RED)

    def test_palette_with_transparency(self):
        image = Image.new("RGB", (2, 2), RED).convert("P", palette=Image.Palette.ADAPTIVE)
        content = encoded(image, transparency=bytes([255] * 256))
        assert pixels(content)[0, 0].tolist() == list(RED)
        content = encoded(image, transparency=bytes([0] * 256))
        assert pixels(content)[0, 0].tolist() == list(WHITE)

    @pytest.mark.parametrize(("mode", "colour"), [("RGBA", (*RED, 51)), ("LA", (77, 51))])
    def test_what_is_transparent_shows_the_background(self, mode, colour):
        content = Item("", encoded(Image.new(mode, (2, 2), colour)))
        upper = RED if mode == "RGBA" else [77] * 3
        for behind in (WHITE, (0, 0, 255)):
            found = decode(content, None, Source(background=f"#{bytes(behind).hex()}"))
            expected = [0.2 * own + 0.8 * other for own, other in zip(upper, behind, strict=True)]
            assert abs(found.pixels[0, 0] - expected).max() <= 1
            assert found.is_transparent

    def test_opaque_alpha_changes_nothing(self):
        found = decode(Item("", encoded(Image.new("RGBA", (2, 2), (*RED, 255)))), None)
        assert found.pixels[0, 0].tolist() == list(RED)
        assert (found.header.has_alpha, found.is_transparent) == (True, False)

    def test_cmyk(self):
        cyan = pixels(encoded(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG"))
        assert abs(cyan[0, 0].astype(int) - (0, 255, 255)).max() <= 3

    def test_a_photo_is_turned_upright(self):
        image = Image.new("RGB", (3, 2), WHITE)
        image.putpixel((0, 0), RED)
        exif = Image.Exif()
        exif[0x0112] = 6  # the top of the scene is at the right: turn clockwise
        upright = pixels(encoded(image, exif=exif))
        assert upright.shape == (3, 2, 3)
        assert upright[0, 1].tolist() == list(RED)

    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
    def test_a_header_tells_the_sides_of_the_upright_photo(self, form, orientation):
        exif = Image.Exif()
        exif[0x0112] = orientation
        photo = Item("photo", encoded(noise(20, 30), form, exif=exif))
        header, picture = examine(photo), decode(photo, None)
        assert header.sides == picture.pixels.shape[:2]
        assert header == picture.header
        assert header.sides == ((30, 20) if orientation > 4 else (20, 30))

    def test_what_turns_a_png_may_follow_its_pixels(self):
        exif = Image.Exif()
        exif[0x0112] = 6
        content = encoded(noise(20, 30), exif=exif)
        begin = content.index(b"eXIf") - 4
        end = begin + 12 + int.from_bytes(content[begin : begin + 4])
        late = content[:begin] + content[end:-12] + content[begin:end] + content[-12:]
        assert examine(Item("photo", late)).sides == pixels(late).shape[:2] == (30, 20)
        with pytest.raises(DataError, match="photo: the image is damaged"):
            examine(Item("photo", late.replace(b"IDAT", b"IDAT" + bytes(9), 1)))

    @pytest.mark.parametrize("mode", ["F", "I"])
    def test_pixels_without_a_range_are_refused(self, mode):
        image = Image.new(mode, (2, 2), 70_000)
        with pytest.raises(DataError, match=r"photo: is not of a kind .* no fixed range"):
            pixels(encoded(image, "TIFF"))


class TestResizing:
    def test_the_middle_square_is_kept(self):
        image = Image.new("RGB", (60, 20), WHITE)
        image.paste(RED, (20, 0, 40, 20))
        square = pixels(encoded(image), 10)
        assert (square[:, 2:-2] == RED).all()
        assert abs(square.astype(int) - RED).max() < 20  # the filter looks a little beyond the edge

    def test_reduction_is_antialiased(self):
        """Every second column white: without a filter the result would be black or white."""
        stripes = np.zeros((64, 64, 3), dtype=np.uint8)
        stripes[:, ::2] = 255
        reduced = pixels(encoded(Image.fromarray(stripes)), 8)[2:-2, 2:-2]
        assert abs(reduced.astype(int) - 127).max() <= 4

    def test_enlargement(self):
        assert (pixels(encoded(Image.new("RGB", (3, 4), RED)), 32) == RED).all()

    def test_pixels_are_resized_like_encoded_images(self):
        image = noise(12, 9)
        assert np.array_equal(pixels(np.asarray(image), 6), pixels(encoded(image), 6))

    def test_pixels_of_the_right_size_are_left_alone(self):
        content = np.asarray(noise(6, 6))
        assert pixels(content, 6) is content
        assert pixels(content) is content


class TestDigest:
    def test_is_that_of_the_stored_bytes(self):
        content = encoded(noise(4, 4))
        expected = hashlib.sha256(content).digest()
        assert decode(Item("photo", content), None)[0] == expected
        assert examine(Item("photo", content))[:2] == (expected, (4, 4))

    def test_of_pixels_covers_their_shape(self):
        content = np.zeros((2, 8, 3), dtype=np.uint8)
        first, second = (examine(Item("", a)) for a in (content, content.reshape(4, 4, 3)))
        assert first.sides == (2, 8)
        assert first[0] != second[0]
        assert decode(Item("", content), 4)[0] == first[0]

    def test_a_file_counts_like_its_bytes(self, tmp_path):
        content = encoded(noise(4, 5))
        (tmp_path / "a.png").write_bytes(content)
        assert examine(Item("", tmp_path / "a.png")) == examine(Item("", content))


class TestDamage:
    @pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
    def test_a_truncated_image_is_named(self, form):
        content = encoded(noise(40, 40), form)
        with pytest.raises(DataError, match=r"^photo: .* (replace it or take it out|header is d)"):
            pixels(content[: len(content) * 2 // 3])

    @pytest.mark.parametrize("read", [examine, lambda item: decode(item, None)])
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "photo: is empty"),
            (b"hello", r"photo: is not an image \(PNG, JPEG, .*\); replace it or take it out"),
            (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "photo: is not an image"),
            (b"\x89PNG\r\n\x1a\n", "photo: is not an image"),
        ],
    )
    def test_what_is_no_image_is_refused(self, read, content, message):
        with pytest.raises(DataError, match=message):
            read(Item("photo", content))

    @pytest.mark.parametrize("read", [examine, lambda item: decode(item, None)])
    @pytest.mark.parametrize("side", [15_000, 60_000])
    def test_a_decompression_bomb_is_refused(self, read, side):
        with quiet(), pytest.raises(DataError, match=r"^bomb: .*pixels"):
            read(Item("bomb", huge_png(side, side)))

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(DataError, match=r"gone: cannot be read \(No such file"):
            examine(Item("gone", tmp_path / "gone.png"))

    def test_random_damage_never_raises_anything_else(self):
        random = np.random.default_rng(1)
        outcomes = set()
        for form in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"):
            content = bytearray(encoded(noise(16, 16), form))
            for _ in range(150):
                damaged = bytearray(content)
                for place in random.integers(0, len(content), 4):
                    damaged[place] = random.integers(256)
                try:
                    with quiet():
                        pixels(bytes(damaged))
                    outcomes.add("")
                except DataError as problem:
                    outcomes.add(str(problem).split(":")[0])
        assert outcomes == {"", "photo"}


class TestInOrder:
    def test_keeps_the_order_over_many_threads(self):
        items = [Item(str(i), b"") for i in range(1000)]
        assert list(in_order(lambda item: int(item.where), items)) == list(range(1000))

    def test_holds_few_items_at_a_time(self):
        taken = 0

        def items():
            nonlocal taken
            for i in range(100_000):
                taken += 1
                yield Item(str(i), b"")

        results = in_order(lambda item: item.where, items())
        assert next(results) == "0"
        assert taken < 50_000
        results.close()

    def test_the_first_failure_is_raised(self):
        def fail(item):
            raise DataError(item.where)

        with pytest.raises(DataError, match=r"^0$"):
            list(in_order(fail, [Item(str(i), b"") for i in range(500)]))

    def test_warnings_are_restored(self):
        before = list(warnings.filters)
        with quiet():
            warnings.warn_explicit("odd", UserWarning, "Image.py", 1, "PIL.Image")
        assert warnings.filters == before
