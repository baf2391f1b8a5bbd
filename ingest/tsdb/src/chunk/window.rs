//! Floats as what differs from the one before: the bits of the XOR between its leading and trailing zeros, the *window*.

use super::bits::{BitReader, BitWriter};
use crate::error::DecodeError;

type Result<T, E = DecodeError> = std::result::Result<T, E>;

/// Five bits hold the leading zeros.
const LEADING_MAX: u32 = 31;

/// The window that the last changed value was written with, on the reading side.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    trailing: u32,
    bits: u32,
}

impl Window {
    /// What changes in the window that is known already. Before there is one it is all bits.
    pub(super) fn read_same(&self, bits: &mut BitReader) -> Result<u64> {
        let count = if self.bits == 0 { 64 } else { self.bits };
        Ok(bits.bits(count)? << self.trailing)
    }

    /// What changes in a new window.
    pub(super) fn read_new(&mut self, bits: &mut BitReader) -> Result<u64> {
        let leading = bits.bits(5)? as u32;
        // 64 does not fit in 6 bits and is written as 0.
        let count = match bits.bits(6)? as u32 {
            0 => 64,
            count => count,
        };
        let trailing = 64u32
            .checked_sub(leading + count)
            .ok_or(DecodeError::new("a value has more than 64 bits"))?;
        *self = Self {
            trailing,
            bits: count,
        };
        self.read_same(bits)
    }

    /// The next value behind `value`: unchanged (0), changed in the same window (10), or in a new one (11).
    pub(super) fn read(&mut self, bits: &mut BitReader, value: f64) -> Result<f64> {
        if !bits.bit()? {
            return Ok(value);
        }
        let changed = if bits.bit()? {
            self.read_new(bits)?
        } else {
            self.read_same(bits)?
        };
        Ok(f64::from_bits(value.to_bits() ^ changed))
    }
}

/// The window on the writing side: leading and trailing zeros, `None` before the first change.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WindowWriter(Option<(u32, u32)>);

impl WindowWriter {
    /// Writes a change that is not 0: `same` before it in the window that is known, or `new` and a new window.
    pub(super) fn write_change(
        &mut self,
        bits: &mut BitWriter,
        change: u64,
        same: (u64, u32),
        new: (u64, u32),
    ) {
        let leading = change.leading_zeros().min(LEADING_MAX);
        let trailing = change.trailing_zeros();
        match self.0 {
            Some((known_leading, known_trailing))
                if leading >= known_leading && trailing >= known_trailing =>
            {
                bits.bits(same.0, same.1);
                bits.bits(
                    change >> known_trailing,
                    64 - known_leading - known_trailing,
                );
            }
            _ => {
                self.0 = Some((leading, trailing));
                let count = 64 - leading - trailing;
                bits.bits(new.0, new.1);
                bits.bits(u64::from(leading), 5);
                bits.bits(u64::from(count), 6);
                bits.bits(change >> trailing, count);
            }
        }
    }

    /// Writes the value behind `before`; see [`Window::read`].
    pub(super) fn write(&mut self, bits: &mut BitWriter, value: f64, before: f64) {
        match value.to_bits() ^ before.to_bits() {
            0 => bits.bit(false),
            change => self.write_change(bits, change, (0b10, 2), (0b11, 2)),
        }
    }
}
