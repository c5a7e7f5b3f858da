"""From files to one CT volume in Hounsfield units: codecs, pixels, slices."""
