"""The haemorrhage model: a small 2.5D U-Net trained on synthetic heads. Research, not for diagnosis."""
