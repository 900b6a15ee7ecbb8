//! FNV-1a: short names for long things in files of our own. Not against an enemy: whoever can write the journal can
//! write anything into it.

/// 64 bits of it.
pub fn fnv64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// 128 bits of it, over fields that cannot run into each other.
#[derive(Debug, Clone, Copy)]
pub struct Digest(u128);

impl Default for Digest {
    fn default() -> Digest {
        Digest(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl Digest {
    fn add(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| {
            (hash ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        });
    }

    /// With one more field.
    pub fn field(mut self, bytes: &[u8]) -> Digest {
        self.add(&(bytes.len() as u64).to_le_bytes());
        self.add(bytes);
        self
    }

    /// With a number as a field.
    pub fn number(self, number: u64) -> Digest {
        self.field(&number.to_le_bytes())
    }

    /// What it comes to.
    pub fn value(self) -> u128 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_values_come_out() {
        assert_eq!(fnv64(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv64(b"foobar"), 0x8594_4171_f739_67e8);
        let digest = |bytes: &[u8]| {
            let mut digest = Digest::default();
            digest.add(bytes);
            digest.value()
        };
        assert_eq!(digest(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
        assert_eq!(digest(b"foobar"), 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let of = |fields: &[&[u8]]| {
            let digest = fields
                .iter()
                .fold(Digest::default(), |digest, field| digest.field(field));
            digest.value()
        };
        assert_ne!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_ne!(of(&[b"a"]), of(&[b"a", b""]));
    }
}
