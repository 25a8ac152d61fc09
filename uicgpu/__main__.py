"""``python -m uicgpu``."""

from uicgpu.cli.main import main

if __name__ == "__main__":
    main()
