"""`python -m aimlvideo`, and the command `aimlvideo`."""

from __future__ import annotations


def main() -> None:
    """Run the command."""
    # `import aimlvideo.__main__` alone costs nothing.
    try:
        from aimlvideo.cli.signals import in_good_order  # noqa: PLC0415

        with in_good_order():
            from aimlvideo.cli.app import app  # noqa: PLC0415

            app()
    except KeyboardInterrupt:
        raise SystemExit(3) from None  # before anything was begun


if __name__ == "__main__":
    main()
