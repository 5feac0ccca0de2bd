"""`python -m aimlvideo`, and the command `aimlvideo`."""

from __future__ import annotations


def main() -> None:
    """Run the command."""
    from aimlvideo.cli.app import app  # noqa: PLC0415 - `import aimlvideo.__main__` alone costs nothing

    app()


if __name__ == "__main__":
    main()
