"""A mixture of domains of images and of text, from vectors alone.

Four domains: an album and its captions, which show everything, and logos and slogans, which show a few things over and
over. They are embedded in one space, written as .npy, and measured.
"""

import argparse
from pathlib import Path

import numpy as np
from scenes import ALL_SCENES, PictureEmbedder, Scene, draw, embed_captions

import mixlaw

PAIRS = 3000
SIZE = 1200  # items of a domain


def domains(seed: int = 0) -> dict[str, np.ndarray]:
    """Vectors of every domain, shape (SIZE, 64) each."""
    rng = np.random.default_rng(seed)

    def drawn(scenes: list[Scene], n: int) -> list[Scene]:
        return [scenes[i] for i in rng.integers(len(scenes), size=n)]

    pairs = drawn(ALL_SCENES, PAIRS)
    pictures = PictureEmbedder(pairs, [draw(scene, rng) for scene in pairs])
    few = drawn(ALL_SCENES, 4)
    return {
        "album (images)": pictures.embed([draw(scene, rng) for scene in drawn(ALL_SCENES, SIZE)]),
        "captions (text)": embed_captions(drawn(ALL_SCENES, SIZE)),
        "logos (images)": pictures.embed([draw(scene, rng) for scene in drawn(few, SIZE)]),
        "slogans (text)": embed_captions(drawn(few, SIZE)),
    }


def main() -> None:
    """Write vectors and mixture, and print the table."""
    parser = argparse.ArgumentParser(description="A mixture of image and text domains.")
    parser.add_argument("--out", type=Path, default=Path("multimodal-out"), help="folder for vectors and mixture")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    paths = {}
    for name, vectors in domains().items():
        paths[name] = out / f"{name.split()[0]}.npy"
        np.save(paths[name], vectors)
    table = mixlaw.measure_vne(paths)
    table.mixture().write(out / "vne.json")
    print(table.to_text())
    words = " ".join(f'--embeddings "{name}={path}"' for name, path in paths.items())
    print(f"\nThe same from the command line:\nmixlaw entropy --proxy vne {words}")


if __name__ == "__main__":
    main()
