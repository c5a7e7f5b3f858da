"""How a bundle takes its inputs: one module for each value of ``manifest.Reading``."""
