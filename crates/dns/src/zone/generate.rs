//! `$GENERATE start-stop[/step] owner [TTL] [IN] type data`, as in BIND: one record for each number, which replaces `$`
//! and `${offset,width,base}` in owner and data. `\$` is a plain dollar.
//!
//! Different from BIND on purpose: quoted texts stay whole (`TXT "host $"` is one string, there two), and an offset holds
//! for its own `$` only (BIND carries it over to the next one).

use super::{
    source::Complaint,
    template::{Reader, Wrong},
    token::Token,
};

/// Numbers of one directive.
const MOST_NUMBERS: u64 = 65_536;
/// Digits that a modifier may ask for.
const WIDEST: usize = 255;

/// The numbers to go through.
#[derive(Debug, PartialEq, Eq)]
struct Range {
    start: u32,
    stop: u32,
    step: u32,
}

impl Reader<'_, '_> {
    /// Makes the records. Of mistakes in them only the first is told: the others are the same.
    pub(super) fn generate(&mut self, word: &Token<'_>, arguments: &[Token<'_>]) -> Result<(), Wrong> {
        let [range, template @ ..] = arguments else {
            return Err((word.place, Complaint::new("$GENERATE needs a range, an owner, a type and data").help(FORM)));
        };
        let numbers = parse_range(&range.text).map_err(|complaint| (range.place, complaint))?;
        if template.len() < 2 {
            let complaint = Complaint::new("$GENERATE needs an owner, a type and data after the range");
            return Err((range.place, complaint.help(FORM)));
        }
        let template = unquote(template);
        let before = self.sources.errors();
        for number in (numbers.start..=numbers.stop).step_by(numbers.step as usize) {
            let mut tokens = Vec::with_capacity(template.len());
            for token in &template {
                let text = expand(&token.text, number).map_err(|complaint| (token.place, complaint))?;
                tokens.push(Token { text: text.into(), ..token.clone() });
            }
            self.record(false, &tokens)?;
            if self.stopped() || self.sources.errors() > before {
                self.sources.incomplete = true;
                return Ok(());
            }
        }
        Ok(())
    }
}

const FORM: &str = "such as `$GENERATE 1-20 host-$ A 10.0.0.$`";

/// BIND takes the data as one word, in quotes where it has blanks: `$GENERATE 1-3 @ MX "10 mail$"`. Types whose data
/// are texts keep their quotes.
fn unquote<'t>(template: &[Token<'t>]) -> Vec<Token<'t>> {
    const TEXTS: [&str; 6] = ["TXT", "SPF", "CAA", "HINFO", "NAPTR", "URI"];
    let mut tokens = template.to_vec();
    let is_text = template.iter().any(|token| TEXTS.iter().any(|name| token.is(name)));
    if let Some(data) = tokens.pop_if(|last| last.quoted && !is_text) {
        let words = data.text.split([' ', '\t']).filter(|word| !word.is_empty());
        tokens.extend(words.map(|word| Token { text: word.to_owned().into(), quoted: false, place: data.place }));
    }
    tokens
}

/// `start-stop` or `start-stop/step`.
fn parse_range(text: &str) -> Result<Range, Complaint> {
    let wrong = || Complaint::new(format!("`{text}` is no range: start-stop or start-stop/step")).help(FORM);
    let (bounds, step) = text.split_once('/').unwrap_or((text, "1"));
    let (start, stop) = bounds.split_once('-').ok_or_else(wrong)?;
    let number = |word: &str| word.parse::<u32>().ok().filter(|_| word.bytes().all(|byte| byte.is_ascii_digit()));
    let range = Range {
        start: number(start).ok_or_else(wrong)?,
        stop: number(stop).ok_or_else(wrong)?,
        step: number(step).filter(|step| *step > 0).ok_or_else(wrong)?,
    };
    if range.stop < range.start {
        return Err(Complaint::new(format!("the range {text} ends before it begins")));
    }
    let count = u64::from(range.stop - range.start) / u64::from(range.step) + 1;
    if count > MOST_NUMBERS {
        return Err(Complaint::new(format!("the range {text} makes {count} records; {MOST_NUMBERS} are the most")));
    }
    Ok(range)
}

/// `text` with `number` in the place of `$` and its modifiers; other escapes stay as they are.
fn expand(text: &str, number: u32) -> Result<String, Complaint> {
    let mut out = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some(at) = rest.find(['$', '\\']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("${") {
            let (modifier, after) =
                after.split_once('}').ok_or_else(|| Complaint::new("`${` of $GENERATE is not closed by `}`"))?;
            out.push_str(&modified(modifier, number)?);
            rest = after;
        } else if let Some(after) = rest.strip_prefix("$$") {
            // BIND's older way to write a dollar.
            out.push_str("\\$");
            rest = after;
        } else if let Some(after) = rest.strip_prefix('$') {
            out.push_str(&number.to_string());
            rest = after;
        } else {
            // A backslash and what it escapes.
            let length = rest.chars().take(2).map(char::len_utf8).sum();
            out.push_str(&rest[..length]);
            rest = &rest[length..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// `offset[,width[,base]]`: base d, o, x, X, or n, N for nibbles of reverse IPv6 names.
fn modified(modifier: &str, number: u32) -> Result<String, Complaint> {
    let wrong = || {
        Complaint::new(format!("`${{{modifier}}}` is no modifier"))
            .help("write `${offset,width,base}`; base is one of d, o, x, X, n, N")
    };
    let mut parts = modifier.split(',');
    let offset: i64 = parts.next().and_then(|offset| offset.parse::<i32>().ok()).ok_or_else(wrong)?.into();
    let width: usize = parts.next().map_or(Ok(0), |width| width.parse().map_err(|_| wrong()))?;
    let base = parts.next().unwrap_or("d");
    if parts.next().is_some() {
        return Err(wrong());
    }
    if width > WIDEST {
        return Err(Complaint::new(format!("`${{{modifier}}}` is {width} digits wide; {WIDEST} are the most")));
    }
    let value = i64::from(number) + offset;
    let value =
        u64::try_from(value).map_err(|_| Complaint::new(format!("`${{{modifier}}}` makes {value} of {number}")))?;
    match base {
        "d" => Ok(format!("{value:0width$}")),
        "o" => Ok(format!("{value:0width$o}")),
        "x" => Ok(format!("{value:0width$x}")),
        "X" => Ok(format!("{value:0width$X}")),
        "n" => Ok(nibbles(value, width)),
        "N" => Ok(nibbles(value, width).to_uppercase()),
        _ => Err(wrong()),
    }
}

/// Hexadecimal digits, the lowest first, with dots between them: at least `width` characters, dots included.
fn nibbles(mut value: u64, width: usize) -> String {
    let mut out = String::new();
    loop {
        out.push_str(&format!("{:x}", value & 0xf));
        value >>= 4;
        if value == 0 && out.len() >= width {
            return out;
        }
        out.push('.');
        if value == 0 && out.len() >= width {
            return out;
        }
    }
}
