//! Numbers and moments as people read them.
//!
//! Invariants: offsets in full with commas; counts of ten thousand or more short; bytes in SI units with two or three
//! digits; an unknown value is an en dash, zero is `0`; a minus is a minus sign.
//!
//! Deliberately not here: widths and alignment.

use crate::cluster::view::ClusterView;

/// What stands for a value nobody knows.
pub const UNKNOWN: &str = "–";

/// An offset in full: `12,840`.
pub fn offset(value: i64) -> String {
    let digits = value.unsigned_abs().to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3 + 3);
    if value < 0 {
        out.push('−');
    }
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count that is no offset: in full below 10,000, then `31.2k`, `4.1M`.
pub fn count(value: u64) -> String {
    if value < 10_000 { offset(value as i64) } else { scaled(value, ["k", "M", "G", "T"]) }
}

/// Records behind in a narrow column: `412`, `3.1k`.
pub fn lag(value: u64) -> String {
    if value < 1_000 { value.to_string() } else { scaled(value, ["k", "M", "G", "T"]) }
}

/// Bytes: `610 MB`.
pub fn bytes(value: u64) -> String {
    if value < 1_000 { format!("{value} B") } else { scaled(value, [" kB", " MB", " GB", " TB"]) }
}

/// Bytes without a word, for narrow places: `0.9M`.
pub fn bytes_narrow(value: u64) -> String {
    match value {
        0 => "0".to_string(),
        1..100_000 => scaled(value.max(100), ["k", "M", "G", "T"]),
        100_000..1_000_000 => format!("0.{}M", value / 100_000),
        _ => scaled(value, ["k", "M", "G", "T"]),
    }
}

/// Two or three digits and a unit; `value` may be below 1000, which is then `0.x` of the first unit.
fn scaled(value: u64, units: [&str; 4]) -> String {
    let mut scale = 1_000;
    let mut unit = 0;
    while unit < 3 && value / scale >= 1_000 {
        scale *= 1_000;
        unit += 1;
    }
    let tenths = value / (scale / 10);
    if tenths < 1_000 && !(tenths >= 100 && units[0].starts_with(' ')) {
        format!("{}.{}{}", tenths / 10, tenths % 10, units[unit])
    } else {
        format!("{}{}", tenths / 10, units[unit])
    }
}

/// A time span: `0 ms`, `312 ms`, `2.1 s`, `4 m 12 s`, `3 h 5 m`.
pub fn span_ms(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{} m {} s", ms / 60_000, ms % 60_000 / 1_000),
        _ => format!("{} h {} m", ms / 3_600_000, ms % 3_600_000 / 60_000),
    }
}

/// A round span, for windows and ticks: `10 s`, `60 s`, `2.5 s`, `5 min`.
pub fn round_span(ms: u64) -> String {
    match ms {
        120_000.. if ms.is_multiple_of(60_000) => format!("{} min", ms / 60_000),
        _ if ms.is_multiple_of(1_000) => format!("{} s", ms / 1_000),
        _ => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
    }
}

/// A moment of the day: `12:04:31.520`, with `decimals` digits (0 to 3) after the second.
pub fn clock(wall_ms: i64, utc_offset_s: i32, decimals: usize) -> String {
    let local = (wall_ms + i64::from(utc_offset_s) * 1_000).rem_euclid(86_400_000);
    let (seconds, ms) = (local / 1_000, local % 1_000);
    let mut text = format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if decimals > 0 {
        text.push('.');
        text.push_str(&format!("{ms:03}")[..decimals.min(3)]);
    }
    text
}

/// `1 partition`, `3 partitions`.
pub fn plural(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{} {one}s", self::count(count)) }
}

/// A moment of the cluster's time as people tell it: virtual time has no wall, and is told since the world's beginning.
pub fn moment(view: &ClusterView, at_ms: u64, decimals: usize) -> String {
    if view.host.world.is_some() {
        let thousandths = format!("{:03}", at_ms % 1_000);
        return match decimals {
            0 => format!("T {} s", at_ms / 1_000),
            decimals => format!("T {}.{} s", at_ms / 1_000, &thousandths[..decimals.min(3)]),
        };
    }
    // What is drawn of the past may have come later.
    let signed = |moment: u64| i64::try_from(moment).unwrap_or(i64::MAX);
    clock(view.wall_ms + (signed(at_ms) - signed(view.at_ms)), view.utc_offset_s, decimals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_write_them() {
        assert_eq!((offset(0), offset(12_840), offset(-1)), ("0".into(), "12,840".into(), "−1".into()));
        assert_eq!((count(9_999), count(31_240), count(4_100_000)), ("9,999".into(), "31.2k".into(), "4.1M".into()));
        assert_eq!((lag(999), lag(3_100), lag(12_345)), ("999".into(), "3.1k".into(), "12.3k".into()));
        assert_eq!((bytes(0), bytes(4_200_000), bytes(610_000_000)), ("0 B".into(), "4.2 MB".into(), "610 MB".into()));
        assert_eq!(bytes_narrow(900_000), "0.9M");
        assert_eq!(
            (span_ms(312), span_ms(2_100), span_ms(252_000)),
            ("312 ms".into(), "2.1 s".into(), "4 m 12 s".into())
        );
    }

    #[test]
    fn the_clock_wraps_at_midnight() {
        assert_eq!(clock(43_471_520, 0, 3), "12:04:31.520");
        assert_eq!(clock(-1, 0, 1), "23:59:59.9");
        assert_eq!(clock(0, 3_600, 0), "01:00:00");
    }
}
