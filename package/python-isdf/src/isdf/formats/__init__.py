"""The formats of delivery, pure: bytes to values and back, `FormatError` for all else. No I/O, no cryptography."""
