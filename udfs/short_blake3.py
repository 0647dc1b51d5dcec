"""BLAKE3 of a text of up to 1,024 bytes, for compiled functions: one chunk, so that no tree is built.

After the specification, https://github.com/BLAKE3-team/BLAKE3-specs, section 2; words are little-endian, of 32 bits.
"""

import numpy as np

from udfs.compiled import Bytes, compiled

MAX_BYTES = 1_024
_BLOCK, _ROUNDS = 64, 7
_CHUNK_START, _CHUNK_END, _ROOT = 1, 2, 8
_U32 = np.uint32
_IV = tuple(map(_U32, (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)))
_State = tuple[np.uint32, ...]


@compiled
def digest(text: Bytes, length: int, out: Bytes) -> None:
    """Write as many bytes of the text's digest as `out` takes, up to 32, whole words.

    `text` has room for whole blocks of 64 bytes; what is behind `length` is overwritten.
    """
    chain = _IV
    blocks = max(1, (length + _BLOCK - 1) // _BLOCK)
    text[length : blocks * _BLOCK] = 0
    for block in range(blocks):
        last = block == blocks - 1
        flags = (_CHUNK_START if block == 0 else 0) | (_CHUNK_END | _ROOT if last else 0)
        chain = _compress(chain, _words(text, block * _BLOCK), length - block * _BLOCK if last else _BLOCK, flags)
    for at in range(len(out)):
        out[at] = (chain[at // 4] >> _U32(8 * (at % 4))) & _U32(255)


@compiled
def _compress(chain: _State, message: _State, length: int, flags: int) -> _State:
    h0, h1, h2, h3, h4, h5, h6, h7 = chain
    i0, i1, i2, i3 = _IV[:4]
    state: _State = (h0, h1, h2, h3, h4, h5, h6, h7, i0, i1, i2, i3, _U32(0), _U32(0), _U32(length), _U32(flags))
    for _ in range(_ROUNDS):
        state = _round(state, message)
        message = _permuted(message)
    h0, h1, h2, h3, h4, h5, h6, h7, l0, l1, l2, l3, l4, l5, l6, l7 = state
    return h0 ^ l0, h1 ^ l1, h2 ^ l2, h3 ^ l3, h4 ^ l4, h5 ^ l5, h6 ^ l6, h7 ^ l7


@compiled
def _round(state: _State, m: _State) -> _State:
    """Mix the columns of the 4 x 4 state, then its diagonals."""
    s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15 = state
    s0, s4, s8, s12 = _mix(s0, s4, s8, s12, m[0], m[1])
    s1, s5, s9, s13 = _mix(s1, s5, s9, s13, m[2], m[3])
    s2, s6, s10, s14 = _mix(s2, s6, s10, s14, m[4], m[5])
    s3, s7, s11, s15 = _mix(s3, s7, s11, s15, m[6], m[7])
    s0, s5, s10, s15 = _mix(s0, s5, s10, s15, m[8], m[9])
    s1, s6, s11, s12 = _mix(s1, s6, s11, s12, m[10], m[11])
    s2, s7, s8, s13 = _mix(s2, s7, s8, s13, m[12], m[13])
    s3, s4, s9, s14 = _mix(s3, s4, s9, s14, m[14], m[15])
    return s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11, s12, s13, s14, s15


@compiled
def _mix(a: np.uint32, b: np.uint32, c: np.uint32, d: np.uint32, x: np.uint32, y: np.uint32) -> _State:
    """Do what the specification calls G."""
    a = _U32(a + b + x)
    d = _rotated(d ^ a, 16)
    c = _U32(c + d)
    b = _rotated(b ^ c, 12)
    a = _U32(a + b + y)
    d = _rotated(d ^ a, 8)
    c = _U32(c + d)
    b = _rotated(b ^ c, 7)
    return a, b, c, d


@compiled
def _rotated(word: np.uint32, bits: int) -> np.uint32:
    return _U32((word >> _U32(bits)) | (word << _U32(32 - bits)))


@compiled
def _permuted(m: _State) -> _State:
    return m[2], m[6], m[3], m[10], m[7], m[0], m[4], m[13], m[1], m[11], m[12], m[5], m[9], m[14], m[15], m[8]


@compiled
def _words(text: Bytes, at: int) -> _State:
    w = text[at : at + _BLOCK].view(np.uint32)
    return w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9], w[10], w[11], w[12], w[13], w[14], w[15]
