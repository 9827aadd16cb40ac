//! Lines in the style of FlexNet, as words with their places: `\` before a line end goes on, `#` begins a comment line, values
//! may be quoted.

use std::ops::Range;

use winnow::{
    ModalResult, Parser,
    ascii::line_ending,
    combinator::{alt, cut_err, eof, not, opt, preceded, repeat, terminated},
    error::{StrContext, StrContextValue},
    stream::Location,
    token::{any, one_of, take_till, take_while},
};

type Input<'t> = winnow::LocatingSlice<&'t str>;

/// One word of a line: `value`, or `KEY=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) key: Option<String>,
    pub(crate) value: String,
    /// Where it stands, key and all.
    pub(crate) span: Range<usize>,
    /// Where its value stands, without quotes.
    pub(crate) value_span: Range<usize>,
}

/// A place where no word can be, and what was expected there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) at: usize,
    pub(crate) expected: String,
}

/// Every line of `text` that has words.
pub(crate) fn lines(text: &str) -> Result<Vec<Vec<Word>>, Broken> {
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let skipped = text.len() - body.len();
    let file = terminated(repeat(0.., line), eof);
    let parsed: Result<Vec<Vec<Word>>, _> = { file }.parse(Input::new(body));
    match parsed {
        Ok(lines) => Ok(lines.into_iter().filter(|line| !line.is_empty()).map(|line| moved(line, skipped)).collect()),
        Err(e) => Err(Broken { at: e.offset() + skipped, expected: e.inner().to_string() }),
    }
}

fn moved(line: Vec<Word>, by: usize) -> Vec<Word> {
    let range = |r: Range<usize>| r.start + by..r.end + by;
    line.into_iter().map(|word| Word { span: range(word.span), value_span: range(word.value_span), ..word }).collect()
}

/// A line with its end; the last one may have none.
fn line(input: &mut Input<'_>) -> ModalResult<Vec<Word>> {
    not(eof).parse_next(input)?;
    gap(input)?;
    let comment = ('#', take_till(0.., ['\r', '\n'])).map(|_| Vec::new());
    terminated(alt((comment, repeat(0.., terminated(word, gap)))), alt((line_ending, eof))).parse_next(input)
}

fn gap(input: &mut Input<'_>) -> ModalResult<()> {
    repeat(0.., alt((one_of([' ', '\t']).void(), continuation))).parse_next(input)
}

fn continuation(input: &mut Input<'_>) -> ModalResult<()> {
    ('\\', take_while(0.., [' ', '\t']), line_ending).void().parse_next(input)
}

fn word(input: &mut Input<'_>) -> ModalResult<Word> {
    let start = input.current_token_start();
    let mut key = opt(terminated(take_while(1.., |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.'), '='));
    let key: Option<&str> = key.parse_next(input)?;
    let value_start = input.current_token_start();
    let (value, quoted) = match key {
        Some(_) => alt((quoted.map(|v| (v, true)), bare.map(|v| (v, false)), "".map(|_| (String::new(), false))))
            .parse_next(input)?,
        None => alt((quoted.map(|v| (v, true)), bare.map(|v| (v, false)))).parse_next(input)?,
    };
    let end = input.current_token_start();
    let value_span = if quoted { value_start + 1..end.saturating_sub(1) } else { value_start..end };
    Ok(Word { key: key.map(str::to_owned), value, span: start..end, value_span })
}

/// A text in quotes: white space and continued lines in it count as one space.
fn quoted(input: &mut Input<'_>) -> ModalResult<String> {
    let inside = take_till(0.., '"');
    let closed =
        cut_err('"').context(StrContext::Expected(StrContextValue::Description("a second \" that closes this text")));
    let text: &str = preceded('"', terminated(inside, closed)).parse_next(input)?;
    Ok(text.replace('\\', " ").split_whitespace().collect::<Vec<_>>().join(" "))
}

fn bare(input: &mut Input<'_>) -> ModalResult<String> {
    let letter = preceded(not(continuation), any.verify(|c: &char| !c.is_whitespace() && *c != '"'));
    repeat(1.., letter)
        .fold(String::new, |mut word, c| {
            word.push(c);
            word
        })
        .parse_next(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<Vec<String>> {
        let show = |word: Word| word.key.map_or(word.value.clone(), |key| format!("{key}={}", word.value));
        lines(text).unwrap().into_iter().map(|line| line.into_iter().map(show).collect()).collect()
    }

    #[test]
    fn lines_go_on_after_a_backslash_and_texts_are_quoted() {
        let text = "\u{feff}# a comment\r\nSERVER lic1 0012ab34cd56 27000\r\n\nFEATURE a acme 1.0 \\\n\tpermanent 5 NOTICE=\"two  \\\r\n words\" SN= \\\n ck=7";
        assert_eq!(
            said(text),
            [
                vec!["SERVER", "lic1", "0012ab34cd56", "27000"],
                vec!["FEATURE", "a", "acme", "1.0", "permanent", "5", "NOTICE=two words", "SN=", "ck=7"],
            ]
        );
        let words = &lines(text).unwrap()[0];
        assert_eq!(&text[words[1].span.clone()], "lic1");
    }

    #[test]
    fn a_text_that_is_not_closed_is_named_where_it_begins_to_be_wrong() {
        let broken = lines("FEATURE a acme NOTICE=\"open\nFEATURE b").unwrap_err();
        assert!(broken.expected.contains("a second \""), "{broken:?}");
    }
}
