"""Drawn scenes and their captions, and one space for both: a small, linear stand-in for a model such as CLIP.

Nothing here is a photograph or a learned network. It shows what a domain of images needs in order to stand in a mixture
beside a domain of text: vectors from one embedding.
"""

from itertools import product

import numpy as np
import numpy.typing as npt

from mixlaw.entropy.hashed_ngrams import HashedNgrams

SIDE = 24  # pixels
CROP = 6  # pixels about the middle of the object
COLOURS = {
    "red": (1.0, 0.1, 0.1),
    "green": (0.1, 0.8, 0.1),
    "blue": (0.1, 0.2, 1.0),
    "yellow": (0.9, 0.9, 0.1),
    "violet": (0.7, 0.1, 0.9),
    "white": (1.0, 1.0, 1.0),
}
SHAPES = ("disc", "square", "cross", "bar", "ring")
ROWS = {"top": 6, "middle": 12, "bottom": 18}
COLUMNS = {"left": 6, "centre": 12, "right": 18}

Scene = tuple[str, str, str, str]  # colour, shape, row, column
Floats = npt.NDArray[np.float64]

ALL_SCENES: list[Scene] = list(product(COLOURS, SHAPES, ROWS, COLUMNS))
_WORDS = sorted({word for scene in ALL_SCENES for word in scene})
_EMBEDDER = HashedNgrams(dimension=64)


def draw(scene: Scene, rng: np.random.Generator) -> Floats:
    """Picture of a scene with some noise, shape (SIDE, SIDE, 3), from 0 to 1."""
    colour, shape, row, column = scene
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    y, x = np.abs(y - ROWS[row] - rng.uniform(-1, 1)), np.abs(x - COLUMNS[column] - rng.uniform(-1, 1))
    distance = np.hypot(y, x)
    mask = {
        "disc": distance < 4.5,
        "square": np.maximum(y, x) < 4.0,
        "cross": (np.minimum(y, x) < 1.5) & (np.maximum(y, x) < 5.0),
        "bar": (y < 1.5) & (x < 5.5),
        "ring": (distance > 3.0) & (distance < 5.5),
    }[shape]
    picture = mask[:, :, None] * np.array(COLOURS[colour]) + rng.normal(0.0, 0.05, (SIDE, SIDE, 3))
    return np.clip(picture, 0.0, 1.0)


def features(picture: Floats) -> Floats:
    """Numbers that describe a picture: its colour, where its object is, and the object's outline, shape (k,)."""
    brightness = picture.max(axis=2)
    mask = brightness > 0.4
    y, x = (round(place.mean()) for place in np.nonzero(mask))
    padded = np.pad(mask, CROP)
    outline = padded[y : y + 2 * CROP, x : x + 2 * CROP]
    place = np.concatenate([mask.sum(axis=0), mask.sum(axis=1)]) / mask.sum()
    return np.concatenate([[1.0], picture[mask].mean(axis=0), place, outline.ravel()])


def embed_captions(scenes: list[Scene]) -> Floats:
    """Vectors of captions such as "red disc top left", shape (n, 64)."""
    tokens = np.array([_WORDS.index(word) for scene in scenes for word in scene], np.uint8)
    return _EMBEDDER.embed(tokens, np.arange(0, len(tokens) + 1, 4))


class PictureEmbedder:
    """Maps pictures into the space of captions, by ridge regression on pictures that have one.

    Parameters
    ----------
    scenes, pictures
        The pairs to learn from.
    """

    def __init__(self, scenes: list[Scene], pictures: list[Floats]) -> None:
        x, y = np.array([features(picture) for picture in pictures]), embed_captions(scenes)
        self._map = np.linalg.solve(x.T @ x + 1e-2 * len(x) / x.shape[1] * np.eye(x.shape[1]), x.T @ y)

    def embed(self, pictures: list[Floats]) -> Floats:
        """Vectors of pictures, shape (n, 64)."""
        return np.array([features(picture) for picture in pictures]) @ self._map
