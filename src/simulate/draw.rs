//! Numbers drawn by a seed: the same seed and the same keys give the same numbers on every machine, for ever.

/// The finalizer of splitmix64 (Steele, Lea, Flood 2014, constants of Stafford's variant 13).
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number from 0 to below 1 for these keys. Nothing is kept between two draws, so a job's numbers do not depend
/// on when it is asked for them.
pub fn unit(seed: u64, job: u64, what: u64) -> f64 {
    let bits = mix(mix(mix(seed) ^ job) ^ what);
    // 53 bits are what an f64 holds exactly.
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_of_the_reference_implementation() {
        // splitmix64 seeded with 0 gives this first.
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn draws_are_spread_evenly() {
        let mut tenths = [0_u32; 10];
        for job in 0..10_000 {
            tenths[(unit(7, job, 1) * 10.0) as usize] += 1;
        }
        assert!(
            tenths.iter().all(|count| (850..1150).contains(count)),
            "{tenths:?}"
        );
    }
}
