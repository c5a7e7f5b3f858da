"""The scan to come after thrombectomy, and the probability of blood on it (after Jiang et al.)."""
