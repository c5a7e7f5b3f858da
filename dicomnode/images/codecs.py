"""JPEG Extended with 12 bits (1.2.840.10008.1.2.4.51) by GDCM, for pydicom's decoder.

pydicom refuses these to its own GDCM plug-in, while GDCM's 12-bit build of libjpeg decodes them bit-identical to
dcmtk's ``dcmdjpeg`` on the CT slices of the tests.
"""

from __future__ import annotations

import gdcm
from pydicom.pixels.decoders.base import DecodeRunner, JPEGExtended12BitDecoder
from pydicom.uid import JPEGExtended12Bit

PLUGIN = "gdcm_12bit"

# Both names are what pydicom asks a plug-in module for.
DECODER_DEPENDENCIES = {JPEGExtended12Bit: ("gdcm>=3.0.10",)}


def is_available(uid: str) -> bool:
    """Whether this module decodes the transfer syntax ``uid``."""
    return uid in DECODER_DEPENDENCIES


def decode_frame(src: bytes, runner: DecodeRunner) -> bytearray:
    """Decode one frame of one sample per pixel and 9 to 12 bits.

    Raises
    ------
    NotImplementedError : colour; pydicom then tries its other plug-ins.
    RuntimeError : GDCM returned another amount of data than the image needs.
    """
    if runner.samples_per_pixel != 1:
        raise NotImplementedError("12-bit JPEG is decoded for monochrome images only")
    image = _image(runner)
    image.SetDataElement(_pixel_data(src))
    frame = image.GetBuffer().encode("utf-8", "surrogateescape")
    if len(frame) != runner.rows * runner.columns * runner.bits_allocated // 8:
        raise RuntimeError(f"GDCM returned {len(frame)} bytes")
    return bytearray(frame)


def _image(runner: DecodeRunner) -> gdcm.Image:
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((runner.columns, runner.rows, 1))
    interpretation = gdcm.PhotometricInterpretation.GetPIType(str(runner.photometric_interpretation))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(interpretation))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(JPEGExtended12Bit))))
    bits = runner.bits_stored
    image.SetPixelFormat(gdcm.PixelFormat(1, runner.bits_allocated, bits, bits - 1, runner.pixel_representation))
    return image


def _pixel_data(src: bytes) -> gdcm.DataElement:
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(src)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    return element


def register() -> None:
    """Add :func:`decode_frame` to pydicom's decoder of the transfer syntax; a second call does nothing."""
    if PLUGIN not in JPEGExtended12BitDecoder.available_plugins:
        JPEGExtended12BitDecoder.add_plugin(PLUGIN, (__name__, "decode_frame"))
