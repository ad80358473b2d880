//! Amounts of money and numbers as people write them. Decimal digits all the way: no binary fraction rounds a price.

/// How a place writes numbers: thousands, decimals, and whether the currency stands first.
struct Style {
    thousands: &'static str,
    decimal: &'static str,
    currency_first: bool,
}

/// A space that does not break, so that an amount stays on one line.
const NO_BREAK: &str = "\u{a0}";

static STYLES: [(&str, Style); 5] = [
    ("en", Style { thousands: ",", decimal: ".", currency_first: true }),
    ("de", Style { thousands: ".", decimal: ",", currency_first: false }),
    ("fr", Style { thousands: "\u{202f}", decimal: ",", currency_first: false }),
    ("ch", Style { thousands: "\u{2019}", decimal: ".", currency_first: true }),
    ("in", Style { thousands: "", decimal: ".", currency_first: true }),
];

/// Currencies that have a sign which stands for nothing else.
const SIGNS: [(&str, &str); 7] =
    [("EUR", "€"), ("USD", "$"), ("GBP", "£"), ("JPY", "¥"), ("INR", "₹"), ("KRW", "₩"), ("ILS", "₪")];

/// Currencies without decimals, and those with three (ISO 4217); all others have two.
const WITHOUT_DECIMALS: [&str; 16] = [
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF",
    "XPF",
];
const THREE_DECIMALS: [&str; 7] = ["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

/// Digits of a number at most: beyond it is no price.
const DIGITS_MAX: usize = 40;

/// `amount` as in `12.5` or `-1299` with `currency` (ISO 4217) in the style of `locale`. With `is_minor` the amount is in the
/// currency's smallest unit. The error is for the template's owner.
pub(super) fn money(amount: &str, currency: &str, locale: &str, is_minor: bool) -> Result<String, String> {
    if currency.len() != 3 || !currency.bytes().all(|octet| octet.is_ascii_uppercase()) {
        return Err(format!("{currency:?} is no currency: three capital letters, such as EUR"));
    }
    let style = style(locale)?;
    let places = decimals_of(currency);
    let mut number = Number::parse(amount)?;
    if is_minor {
        if !number.fraction.is_empty() {
            return Err(format!("{amount:?} is no whole number of the smallest unit"));
        }
        number.shift(places);
    }
    number.round(places);
    let digits = number.grouped(style);
    let minus = if number.is_negative() { "-" } else { "" };
    let sign = SIGNS.iter().find(|(code, _)| *code == currency).map(|(_, sign)| *sign);
    Ok(match (style.currency_first, sign) {
        (true, Some(sign)) => format!("{minus}{sign}{digits}"),
        (true, None) => format!("{currency}{NO_BREAK}{minus}{digits}"),
        (false, sign) => format!("{minus}{digits}{NO_BREAK}{}", sign.unwrap_or(currency)),
    })
}

/// `amount` with thousands and `decimals` places in the style of `locale`; without `decimals`, with the places it has.
pub(super) fn number(amount: &str, locale: &str, decimals: Option<usize>) -> Result<String, String> {
    let style = style(locale)?;
    let mut number = Number::parse(amount)?;
    if let Some(places) = decimals {
        number.round(places.min(DIGITS_MAX));
    }
    let minus = if number.is_negative() { "-" } else { "" };
    Ok(format!("{minus}{}", number.grouped(style)))
}

fn style(locale: &str) -> Result<&'static Style, String> {
    let known = || STYLES.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let found = STYLES.iter().find(|(name, _)| *name == locale).map(|(_, style)| style);
    found.ok_or_else(|| format!("{locale:?} is no style of numbers: {}", known()))
}

fn decimals_of(currency: &str) -> usize {
    if WITHOUT_DECIMALS.contains(&currency) {
        0
    } else if THREE_DECIMALS.contains(&currency) {
        3
    } else {
        2
    }
}

/// A number in decimal digits, the most significant first.
struct Number {
    negative: bool,
    whole: Vec<u8>,
    fraction: Vec<u8>,
}

impl Number {
    fn parse(text: &str) -> Result<Number, String> {
        let wrong = || format!("{text:?} is no number");
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let is_number = !whole.is_empty()
            && whole.len() + fraction.len() <= DIGITS_MAX
            && whole.bytes().chain(fraction.bytes()).all(|octet| octet.is_ascii_digit())
            && !unsigned.ends_with('.');
        if !is_number {
            return Err(wrong());
        }
        let digits = |text: &str| text.bytes().map(|octet| octet - b'0').collect::<Vec<u8>>();
        let whole = digits(whole.trim_start_matches('0'));
        Ok(Number { negative: text.starts_with('-'), whole, fraction: digits(fraction) })
    }

    /// Minus nothing is nothing.
    fn is_negative(&self) -> bool {
        self.negative && self.whole.iter().chain(&self.fraction).any(|digit| *digit != 0)
    }

    /// Divides by ten to the power of `places`.
    fn shift(&mut self, places: usize) {
        while self.whole.len() < places {
            self.whole.insert(0, 0);
        }
        self.fraction = self.whole.split_off(self.whole.len() - places);
    }

    /// To `places` decimals, a half away from zero.
    fn round(&mut self, places: usize) {
        let rounds_up = self.fraction.get(places).is_some_and(|digit| *digit >= 5);
        self.fraction.resize(places, 0);
        if !rounds_up {
            return;
        }
        for digit in self.fraction.iter_mut().rev().chain(self.whole.iter_mut().rev()) {
            if *digit < 9 {
                *digit += 1;
                return;
            }
            *digit = 0;
        }
        self.whole.insert(0, 1);
    }

    fn grouped(&self, style: &Style) -> String {
        let mut shown = String::new();
        for (index, digit) in self.whole.iter().enumerate() {
            let behind = self.whole.len() - index;
            if index > 0 && is_border(behind, style) {
                shown.push_str(if style.thousands.is_empty() { "," } else { style.thousands });
            }
            shown.push(char::from(b'0' + digit));
        }
        if shown.is_empty() {
            shown.push('0');
        }
        if !self.fraction.is_empty() {
            shown.push_str(style.decimal);
            shown.extend(self.fraction.iter().map(|digit| char::from(b'0' + digit)));
        }
        shown
    }
}

/// True when a separator stands before the last `behind` digits: each three, in India the first three and then each two.
fn is_border(behind: usize, style: &Style) -> bool {
    if style.thousands.is_empty() {
        behind == 3 || (behind > 3 && behind % 2 == 1)
    } else {
        behind.is_multiple_of(3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_each_place_does() {
        for (amount, currency, locale, expected) in [
            ("1234.5", "EUR", "en", "€1,234.50"),
            ("1234.5", "EUR", "de", "1.234,50\u{a0}€"),
            ("1234567.005", "EUR", "fr", "1\u{202f}234\u{202f}567,01\u{a0}€"),
            ("1234567", "INR", "in", "₹12,34,567.00"),
            ("1234", "CHF", "ch", "CHF\u{a0}1\u{2019}234.00"),
            ("999.995", "USD", "en", "$1,000.00"),
            ("-0.001", "USD", "en", "$0.00"),
            ("-12", "USD", "en", "-$12.00"),
            ("1500.5", "JPY", "en", "¥1,501"),
            ("1", "KWD", "en", "KWD\u{a0}1.000"),
        ] {
            assert_eq!(money(amount, currency, locale, false).unwrap(), expected, "{amount} {currency}");
        }
    }

    #[test]
    fn the_smallest_unit_is_exact() {
        assert_eq!(money("1299", "EUR", "en", true).unwrap(), "€12.99");
        assert_eq!(money("5", "EUR", "en", true).unwrap(), "€0.05");
        assert_eq!(money("1299", "JPY", "en", true).unwrap(), "¥1,299");
        assert!(money("12.99", "EUR", "en", true).is_err());
    }

    #[test]
    fn what_is_no_amount_is_told() {
        for bad in ["", "-", ".5", "5.", "1e3", "1,5", "abc", &"9".repeat(50)] {
            assert!(money(bad, "EUR", "en", false).is_err(), "{bad}");
        }
        assert!(money("1", "euro", "en", false).unwrap_err().contains("EUR"));
        assert!(money("1", "EUR", "xx", false).unwrap_err().contains("de"));
    }

    #[test]
    fn numbers_keep_their_places_unless_told() {
        assert_eq!(number("1234567.25", "en", None).unwrap(), "1,234,567.25");
        assert_eq!(number("1234567.25", "de", Some(1)).unwrap(), "1.234.567,3");
    }
}
