"""Reception: what a peer sends is on disk and indexed before C-STORE says Success."""
