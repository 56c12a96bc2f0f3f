"""Write scikit-learn's digits as a folder of image files, for the tutorial.

    python examples/make_images.py images

leaves images/train/<digit>/*.png and images/test/<digit>/*.png, 32×32 pixels each.
"""

import sys
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits


def write(folder: Path, every: int = 5) -> int:
    """Write all digits, each `every`th of a class into the test set; return how many."""
    digits, counts = load_digits(), dict.fromkeys(range(10), 0)
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        counts[label] += 1
        split = "test" if counts[label] % every == 0 else "train"
        place = folder / split / str(label)
        place.mkdir(parents=True, exist_ok=True)
        grey = Image.fromarray((pixels * 15).astype("uint8")).resize((32, 32))
        grey.convert("RGB").save(place / f"{number:04d}.png")
    return sum(counts.values())


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "images")
    print(f"{write(target)} images in {target}")
