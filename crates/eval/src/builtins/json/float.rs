//! Decimal digits of floats, as Nix's JSON has them.
//!
//! Nix prints floats with Grisu2 (Loitsch, "Printing Floating-Point Numbers Quickly and Accurately with
//! Integers", 2010). Its digits always read back as the same float, but once in a thousand they are not the
//! fewest that do, so a printer that is always shortest would give other bytes.

/// The decimal exponent of the first of [`POWERS`].
const FIRST_POWER: i32 = -300;
/// The decimal exponents of [`POWERS`] are this far apart.
const POWER_STEP: i32 = 8;
/// The least binary exponent that a float scaled by a power may have.
const ALPHA: i32 = -60;
/// The most digits that a double needs.
const MAX_DIGITS: usize = 17;

/// Prints a float as a JSON number; what is no number becomes `null`.
pub(in crate::builtins) fn print(value: f64, out: &mut Vec<u8>) {
    if !value.is_finite() {
        out.extend_from_slice(b"null");
        return;
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let value = value.abs();
    if value == 0.0 {
        out.extend_from_slice(b"0.0");
        return;
    }
    let (digits, exponent) = shortest_digits(value);
    layout(&digits, exponent, out);
}

/// Numbers below `10^MAX_POINT` have no exponent.
const MAX_POINT: i32 = 15;
/// Nor have numbers from `10^MIN_POINT` on.
const MIN_POINT: i32 = -4;

/// Writes `digits * 10^exponent`.
fn layout(digits: &[u8], exponent: i32, out: &mut Vec<u8>) {
    let count = i32::try_from(digits.len()).expect("there are at most 17 digits");
    let point = count + exponent;
    let zeros =
        |count: i32| std::iter::repeat_n(b'0', usize::try_from(count).unwrap_or(0));
    if count <= point && point <= MAX_POINT {
        out.extend_from_slice(digits);
        out.extend(zeros(exponent));
        out.extend_from_slice(b".0");
    } else if 0 < point && point <= MAX_POINT {
        let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
        out.extend_from_slice(whole);
        out.push(b'.');
        out.extend_from_slice(fraction);
    } else if MIN_POINT < point && point <= 0 {
        out.extend_from_slice(b"0.");
        out.extend(zeros(-point));
        out.extend_from_slice(digits);
    } else {
        out.push(digits[0]);
        if digits.len() > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        let exponent = point - 1;
        let sign = if exponent < 0 { '-' } else { '+' };
        out.extend_from_slice(
            format!("e{sign}{:02}", exponent.unsigned_abs()).as_bytes(),
        );
    }
}

/// A float with 64 bits of precision: `f * 2^e`.
#[derive(Clone, Copy)]
struct Wide {
    f: u64,
    e: i32,
}

impl Wide {
    fn normalized(self) -> Self {
        let shift = self.f.leading_zeros();
        Self { f: self.f << shift, e: self.e - shift.cast_signed() }
    }

    /// The product, rounded to 64 bits.
    fn times(self, other: Self) -> Self {
        let product = u128::from(self.f) * u128::from(other.f) + (1 << 63);
        let f = u64::try_from(product >> 64).expect("64 bits are left");
        Self { f, e: self.e + other.e + 64 }
    }
}

/// The digits and the exponent of the last one, of a positive finite float.
fn shortest_digits(value: f64) -> (Vec<u8>, i32) {
    const HIDDEN_BIT: u64 = 1 << 52;
    const BIAS: i32 = 1075;
    let bits = value.to_bits();
    let fraction = bits & (HIDDEN_BIT - 1);
    let biased = i32::try_from(bits >> 52).expect("the sign is not set");
    let exact = match biased {
        0 => Wide { f: fraction, e: 1 - BIAS },
        _ => Wide { f: fraction + HIDDEN_BIT, e: biased - BIAS },
    };
    // The float stands for everything between the middles to its neighbours; below a power of two the lower
    // neighbour is nearer.
    let upper = Wide { f: 2 * exact.f + 1, e: exact.e - 1 }.normalized();
    let lower = if fraction == 0 && biased > 1 {
        Wide { f: 4 * exact.f - 1, e: exact.e - 2 }
    } else {
        Wide { f: 2 * exact.f - 1, e: exact.e - 1 }
    };
    let lower = Wide { f: lower.f << (lower.e - upper.e), e: upper.e };

    let (power, decimal) = power_for(upper.e);
    let middle = exact.normalized().times(power);
    let (low, high) = (lower.times(power).f + 1, upper.times(power).f - 1);
    let mut generation = Generation {
        digits: Vec::with_capacity(MAX_DIGITS),
        exponent: -decimal,
        delta: high - low,
        distance: high - middle.f,
    };
    generation.run(Wide { f: high, e: middle.e });
    (generation.digits, generation.exponent)
}

/// The power of ten that scales a float with binary exponent `e` to one between [`ALPHA`] and 28 more.
fn power_for(e: i32) -> (Wide, i32) {
    let wanted = ALPHA - e - 1;
    let decimal = (wanted * 78_913) / (1 << 18) + i32::from(wanted > 0);
    let index = (decimal - FIRST_POWER + (POWER_STEP - 1)) / POWER_STEP;
    let f = POWERS[usize::try_from(index).expect("the table covers all doubles")];
    let decimal = FIRST_POWER + index * POWER_STEP;
    // 1741647 / 2^19 is the binary logarithm of ten, near enough for all exponents of the table.
    (Wide { f, e: ((decimal * 1_741_647) >> 19) - 63 }, decimal)
}

/// Digits in the making.
struct Generation {
    digits: Vec<u8>,
    exponent: i32,
    /// How wide the interval of possible results is.
    delta: u64,
    /// How far the exact value lies below its upper end.
    distance: u64,
}

impl Generation {
    /// Generates the digits of the interval's upper end until the rest fits into the interval.
    fn run(&mut self, high: Wide) {
        let shift = u32::try_from(-high.e).expect("the power was chosen so");
        let one = 1_u64 << shift;
        let (mut whole, mut part) = (high.f >> shift, high.f & (one - 1));
        let mut divisor = 1_u64;
        let mut places = 1;
        while whole / divisor >= 10 {
            divisor *= 10;
            places += 1;
        }
        while places > 0 {
            self.push(whole / divisor);
            whole %= divisor;
            places -= 1;
            let rest = (whole << shift) + part;
            if rest <= self.delta {
                self.exponent += places;
                self.round(rest, divisor << shift);
                return;
            }
            divisor /= 10;
        }
        loop {
            part *= 10;
            self.push(part >> shift);
            part &= one - 1;
            self.exponent -= 1;
            self.delta *= 10;
            self.distance *= 10;
            if part <= self.delta {
                self.round(part, one);
                return;
            }
        }
    }

    fn push(&mut self, digit: u64) {
        self.digits.push(b'0' + u8::try_from(digit).expect("a digit is less than ten"));
    }

    /// Lowers the last digit as long as that comes nearer to the exact value.
    fn round(&mut self, mut rest: u64, unit: u64) {
        let (delta, distance) = (self.delta, self.distance);
        let last = self.digits.last_mut().expect("a digit was generated");
        while rest < distance
            && delta - rest >= unit
            && (rest + unit < distance || distance - rest > rest + unit - distance)
        {
            *last -= 1;
            rest += unit;
        }
    }
}

/// The first 64 bits of every eighth power of ten, rounded.
const POWERS: [u64; 79] = [
    0xab70_fe17_c79a_c6ca,
    0xff77_b1fc_bebc_dc4f,
    0xbe56_91ef_416b_d60c,
    0x8dd0_1fad_907f_fc3c,
    0xd351_5c28_3155_9a83,
    0x9d71_ac8f_ada6_c9b5,
    0xea9c_2277_23ee_8bcb,
    0xaecc_4991_4078_536d,
    0x823c_1279_5db6_ce57,
    0xc210_9436_4dfb_5637,
    0x9096_ea6f_3848_984f,
    0xd774_85cb_2582_3ac7,
    0xa086_cfcd_97bf_97f4,
    0xef34_0a98_172a_ace5,
    0xb238_67fb_2a35_b28e,
    0x84c8_d4df_d2c6_3f3b,
    0xc5dd_4427_1ad3_cdba,
    0x936b_9fce_bb25_c996,
    0xdbac_6c24_7d62_a584,
    0xa3ab_6658_0d5f_daf6,
    0xf3e2_f893_dec3_f126,
    0xb5b5_ada8_aaff_80b8,
    0x8762_5f05_6c7c_4a8b,
    0xc9bc_ff60_34c1_3053,
    0x964e_858c_91ba_2655,
    0xdff9_7724_7029_7ebd,
    0xa6df_bd9f_b8e5_b88f,
    0xf8a9_5fcf_8874_7d94,
    0xb944_7093_8fa8_9bcf,
    0x8a08_f0f8_bf0f_156b,
    0xcdb0_2555_6531_31b6,
    0x993f_e2c6_d07b_7fac,
    0xe45c_10c4_2a2b_3b06,
    0xaa24_2499_6973_92d3,
    0xfd87_b5f2_8300_ca0e,
    0xbce5_0864_9211_1aeb,
    0x8cbc_cc09_6f50_88cc,
    0xd1b7_1758_e219_652c,
    0x9c40_0000_0000_0000,
    0xe8d4_a510_0000_0000,
    0xad78_ebc5_ac62_0000,
    0x813f_3978_f894_0984,
    0xc097_ce7b_c907_15b3,
    0x8f7e_32ce_7bea_5c70,
    0xd5d2_38a4_abe9_8068,
    0x9f4f_2726_179a_2245,
    0xed63_a231_d4c4_fb27,
    0xb0de_6538_8cc8_ada8,
    0x83c7_088e_1aab_65db,
    0xc45d_1df9_4271_1d9a,
    0x924d_692c_a61b_e758,
    0xda01_ee64_1a70_8dea,
    0xa26d_a399_9aef_774a,
    0xf209_787b_b47d_6b85,
    0xb454_e4a1_79dd_1877,
    0x865b_8692_5b9b_c5c2,
    0xc835_53c5_c896_5d3d,
    0x952a_b45c_fa97_a0b3,
    0xde46_9fbd_99a0_5fe3,
    0xa59b_c234_db39_8c25,
    0xf6c6_9a72_a398_9f5c,
    0xb7dc_bf53_54e9_bece,
    0x88fc_f317_f222_41e2,
    0xcc20_ce9b_d35c_78a5,
    0x9816_5af3_7b21_53df,
    0xe2a0_b5dc_971f_303a,
    0xa8d9_d153_5ce3_b396,
    0xfb9b_7cd9_a4a7_443c,
    0xbb76_4c4c_a7a4_4410,
    0x8bab_8eef_b640_9c1a,
    0xd01f_ef10_a657_842c,
    0x9b10_a4e5_e991_3129,
    0xe710_9bfb_a19c_0c9d,
    0xac28_20d9_623b_f429,
    0x8044_4b5e_7aa7_cf85,
    0xbf21_e440_03ac_dd2d,
    0x8e67_9c2f_5e44_ff8f,
    0xd433_179d_9c8c_b841,
    0x9e19_db92_b4e3_1ba9,
];

#[cfg(test)]
mod tests {
    fn printed(value: f64) -> String {
        let mut out = Vec::new();
        super::print(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_have_nixs_layout() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (1e14, "100000000000000.0"),
            (1e15, "1e+15"),
            (123_456_789_012_345.6, "123456789012345.6"),
            (1e100, "1e+100"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
            (f64::NAN, "null"),
        ];
        for (value, expected) in cases {
            assert_eq!(printed(value), expected);
        }
    }

    #[test]
    fn what_is_printed_reads_back() {
        let mut bits = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            bits = bits.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let value = f64::from_bits(bits);
            if value.is_finite() {
                assert_eq!(printed(value).parse::<f64>().unwrap().to_bits(), bits);
            }
        }
    }
}
