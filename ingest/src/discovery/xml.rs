//! XML as a tree.

use quick_xml::Reader;
use quick_xml::escape::{resolve_predefined_entity, unescape};
use quick_xml::events::{BytesStart, Event};

/// How deep elements may lie in each other: Eureka needs five levels.
const DEPTH_MAX: usize = 64;

/// An element with what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Element {
    /// The name without its namespace.
    pub(crate) name: String,
    attributes: Vec<(String, String)>,
    pub(crate) children: Vec<Element>,
    /// The text that is directly in the element.
    pub(crate) text: String,
    /// All that is between its tags, as it was written.
    pub(crate) inner: String,
}

impl Element {
    /// The children of a name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The last child of a name: of several the last one counts.
    pub(crate) fn last(&self, name: &str) -> Option<&Self> {
        self.children.iter().rev().find(|child| child.name == name)
    }

    /// The text of the last child of a name; "" where there is none.
    pub(crate) fn text_of(&self, name: &str) -> String {
        self.last(name).map_or_else(String::new, |e| e.text.clone())
    }

    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        let mut attributes = self.attributes.iter();
        let found = attributes.find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Reads the first element of a document.
pub(crate) fn parse(bytes: &[u8]) -> Result<Element, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    let mut reader = Reader::from_str(text);
    // The elements that are open, each with the place after its tag.
    let mut open: Vec<(Element, usize)> = Vec::new();
    loop {
        let before = place(&reader);
        let event = reader.read_event().map_err(|e| e.to_string())?;
        let closed = match event {
            Event::Start(tag) => {
                if open.len() == DEPTH_MAX {
                    return Err("elements lie too deep in each other".to_owned());
                }
                open.push((element(&tag)?, place(&reader)));
                None
            }
            Event::Empty(tag) => Some(element(&tag)?),
            Event::End(_) => open.pop().map(|(mut element, start)| {
                element.inner = text.get(start..before).unwrap_or_default().to_owned();
                element
            }),
            Event::Eof => return Err("unexpected end of the document".to_owned()),
            event => {
                if let Some((element, _)) = open.last_mut() {
                    element.text.push_str(&characters(&event)?);
                }
                None
            }
        };
        if let Some(closed) = closed {
            match open.last_mut() {
                Some((parent, _)) => parent.children.push(closed),
                None => return Ok(closed),
            }
        }
    }
}

fn place(reader: &Reader<&[u8]>) -> usize {
    usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX)
}

fn element(tag: &BytesStart<'_>) -> Result<Element, String> {
    let mut attributes = Vec::new();
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|e| e.to_string())?;
        let value = std::str::from_utf8(&attribute.value).map_err(|e| e.to_string())?;
        let value = unescape(value).map_err(|e| e.to_string())?;
        attributes.push((
            local(attribute.key.local_name().as_ref()),
            value.into_owned(),
        ));
    }
    Ok(Element {
        name: local(tag.local_name().as_ref()),
        attributes,
        ..Element::default()
    })
}

fn local(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// The text of an event, if it is one of text.
fn characters(event: &Event<'_>) -> Result<String, String> {
    match event {
        Event::Text(text) => text
            .decode()
            .map(|text| text.into_owned())
            .map_err(|e| e.to_string()),
        Event::CData(data) => data
            .decode()
            .map(|text| text.into_owned())
            .map_err(|e| e.to_string()),
        Event::GeneralRef(reference) => {
            if let Some(c) = reference.resolve_char_ref().map_err(|e| e.to_string())? {
                return Ok(c.to_string());
            }
            let name = reference.decode().map_err(|e| e.to_string())?;
            resolve_predefined_entity(&name)
                .map(str::to_owned)
                .ok_or_else(|| format!("unknown entity {name:?}"))
        }
        _ => Ok(String::new()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn texts_attributes_and_what_is_inside_are_kept() {
        let root = parse(
            b"<?xml version='1.0'?><!-- x --><n:a y='1 &lt; 2'>p<b>q &amp; &#65;</b><c/>r<b><![CDATA[<s>]]></b></n:a>",
        )
        .unwrap();
        assert_eq!((root.name.as_str(), root.text.as_str()), ("a", "pr"));
        assert_eq!(root.attribute("y"), Some("1 < 2"));
        assert_eq!(root.children[0].text, "q & A");
        assert_eq!(root.children[0].inner, "q &amp; &#65;");
        assert_eq!(root.text_of("b"), "<s>");
        assert_eq!(root.text_of("c"), "");
        assert_eq!(root.all("b").count(), 2);
    }

    #[test]
    fn what_is_no_document_is_an_error() {
        let deep = "<a>".repeat(100_000);
        for text in ["", "x", "<a>", "<a></b>", "<a>&x;</a>", "<a b></a>", &deep] {
            assert!(parse(text.as_bytes()).is_err(), "{text:.20}");
        }
        assert!(parse(b"\xff").is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_document_panics(text in "(<a>|</a>|<a b='c'/>|&[a-z]{1,3};|[<>&'x!\\[\\]-]){0,20}") {
            let _ = parse(text.as_bytes());
        }
    }
}
