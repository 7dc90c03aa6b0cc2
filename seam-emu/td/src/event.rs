//! Events that are delivered to a guest: EVENTINJ, and EXITINTINFO of the same form. Source: APM 15.20.

/// An exception or interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Vector.
    pub vector: u8,
    /// What it is.
    pub kind: Kind,
    /// Error code, of exceptions that push one.
    pub error: Option<u32>,
}

/// Type of an event. The value is that of bits 10:8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the architecture's own")]
pub enum Kind {
    External = 0,
    Nmi = 2,
    Exception = 3,
    Software = 4,
}

/// The first vector that is no exception's.
const FIRST_INTERRUPT: u8 = 32;
const VALID: u64 = 1 << 31;
const HAS_ERROR: u64 = 1 << 11;

impl Event {
    /// #UD.
    pub const UD: Self = Self::exception(6);
    /// #GP(0).
    pub const GP: Self = Self { vector: 13, kind: Kind::Exception, error: Some(0) };
    /// #DF(0).
    pub const DF: Self = Self { vector: 8, kind: Kind::Exception, error: Some(0) };
    /// #VE (SDM 7.15: vector 20, no error code).
    pub const VE: Self = Self::exception(20);
    /// A non-maskable interrupt.
    pub const NMI: Self = Self { vector: 2, kind: Kind::Nmi, error: None };

    const fn exception(vector: u8) -> Self {
        Self { vector, kind: Kind::Exception, error: None }
    }

    /// As EVENTINJ holds it.
    pub fn encode(self) -> u64 {
        let error = self.error.map_or(0, |code| HAS_ERROR | u64::from(code) << 32);
        VALID | error | (self.kind as u64) << 8 | u64::from(self.vector)
    }

    /// From EXITINTINFO; none if no event was being delivered, or one of a type that no processor reports. QEMU 11.1 reports an
    /// external interrupt as an exception (`handle_even_inj()` of `target/i386/tcg/seg_helper.c`), which none from vector 32 on is.
    pub fn decode(raw: u64) -> Option<Self> {
        if raw & VALID == 0 {
            return None;
        }
        let kind = match raw >> 8 & 0b111 {
            0 => Kind::External,
            2 => Kind::Nmi,
            3 if raw as u8 >= FIRST_INTERRUPT => Kind::External,
            3 => Kind::Exception,
            4 => Kind::Software,
            _ => return None,
        };
        let error = (raw & HAS_ERROR != 0).then_some((raw >> 32) as u32);
        Some(Self { vector: raw as u8, kind, error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_the_manuals_form() {
        for (event, raw) in [
            (Event::UD, 0x8000_0306),
            (Event::GP, 0x8000_0B0D),
            (Event::VE, 0x8000_0314),
            (Event::NMI, 0x8000_0202),
            (Event { vector: 14, kind: Kind::Exception, error: Some(5) }, 0x5_8000_0B0E),
            (Event { vector: 0x80, kind: Kind::Software, error: None }, 0x8000_0480),
            (Event { vector: 0x31, kind: Kind::External, error: None }, 0x8000_0031),
        ] {
            assert_eq!(event.encode(), raw);
            assert_eq!(Event::decode(raw), Some(event));
        }
    }

    #[test]
    fn an_interrupt_that_is_told_as_an_exception_is_one() {
        let interrupt = Event { vector: 0x40, kind: Kind::External, error: None };
        assert_eq!(Event::decode(0x8000_0340), Some(interrupt));
        assert_eq!(Event::decode(0x8000_031F), Some(Event { vector: 31, kind: Kind::Exception, error: None }));
    }

    #[test]
    fn what_is_not_valid_is_no_event() {
        assert_eq!(Event::decode(0x306), None);
        assert_eq!(Event::decode(0x8000_0706), None);
    }
}
