//! XML-RPC: calls of methods, and what they give.

use std::collections::BTreeMap;

use quick_xml::escape::escape;

use crate::discovery::xml::{Element, parse};

/// A value of a parameter or of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Number(i64),
    Text(String),
    Flag(bool),
    List(Vec<Value>),
    Fields(BTreeMap<String, Value>),
}

impl Value {
    /// The items of a list; none if it is no list.
    pub(super) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// A field.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Fields(fields) => fields.get(name),
            _ => None,
        }
    }

    /// A field that is a number; 0 if there is none.
    pub(super) fn number(&self, name: &str) -> i64 {
        match self.get(name) {
            Some(Self::Number(number)) => *number,
            _ => 0,
        }
    }

    /// A field that is a text; "" if there is none.
    pub(super) fn text(&self, name: &str) -> String {
        match self.get(name) {
            Some(Self::Text(text)) => text.clone(),
            _ => String::new(),
        }
    }

    fn write(&self, out: &mut String) {
        out.push_str("<value>");
        match self {
            Self::Number(number) => out.push_str(&format!("<int>{number}</int>")),
            Self::Text(text) => {
                out.push_str(&format!("<string>{}</string>", escape(text.as_str())))
            }
            Self::Flag(flag) => out.push_str(&format!("<boolean>{}</boolean>", u8::from(*flag))),
            Self::List(items) => {
                out.push_str("<array><data>");
                items.iter().for_each(|item| item.write(out));
                out.push_str("</data></array>");
            }
            Self::Fields(fields) => {
                out.push_str("<struct>");
                for (name, value) in fields {
                    let name = escape(name.as_str());
                    out.push_str(&format!("<member><name>{name}</name>"));
                    value.write(out);
                    out.push_str("</member>");
                }
                out.push_str("</struct>");
            }
        }
        out.push_str("</value>");
    }

    fn read(element: &Element) -> Result<Self, String> {
        let Some(kind) = element.children.first() else {
            return Ok(Self::Text(element.text.clone()));
        };
        let text = kind.text.trim();
        Ok(match kind.name.as_str() {
            "int" | "i4" | "i8" => {
                Self::Number(text.parse().map_err(|e| format!("{text:?}: {e}"))?)
            }
            "boolean" => Self::Flag(text == "1"),
            "array" => {
                let data = kind.last("data");
                let items = data.map_or(&[][..], |data| &data.children).iter();
                let items = items.filter(|item| item.name == "value").map(Self::read);
                Self::List(items.collect::<Result<_, _>>()?)
            }
            "struct" => {
                let mut fields = BTreeMap::new();
                for member in kind.all("member") {
                    if let Some(value) = member.last("value") {
                        fields.insert(member.text_of("name"), Self::read(value)?);
                    }
                }
                Self::Fields(fields)
            }
            // Also dates, and what else nobody asks for here.
            _ => Self::Text(kind.text.clone()),
        })
    }
}

/// The document of a call.
pub(super) fn call(method: &str, parameters: &[Value]) -> String {
    let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><methodCall>".to_owned();
    out.push_str(&format!("<methodName>{method}</methodName><params>"));
    for parameter in parameters {
        out.push_str("<param>");
        parameter.write(&mut out);
        out.push_str("</param>");
    }
    out.push_str("</params></methodCall>");
    out
}

/// Reads the document of an answer.
pub(super) fn answer(bytes: &[u8]) -> Result<Value, String> {
    let answer = parse(bytes)?;
    if let Some(fault) = answer.last("fault").and_then(|fault| fault.last("value")) {
        let fault = Value::read(fault)?;
        let (code, text) = (fault.number("faultCode"), fault.text("faultString"));
        return Err(format!("error: {text:?} code: {code}"));
    }
    let value = answer
        .last("params")
        .and_then(|params| params.last("param"));
    let value = value.and_then(|param| param.last("value"));
    Value::read(value.ok_or("the answer has no value")?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let fields = [
            ("a".to_owned(), Value::Flag(true)),
            ("<".to_owned(), Value::Number(-7)),
        ];
        let value = Value::List(vec![
            Value::Text("x & y".to_owned()),
            Value::Fields(fields.into()),
            Value::List(Vec::new()),
        ]);
        let document = call("m", std::slice::from_ref(&value));
        assert_eq!(answer(document.as_bytes()).unwrap(), value);
    }

    #[test]
    fn faults_are_errors() {
        let fault = "<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>2950</int></value></member>\
            <member><name>faultString</name><value>Either the password or username is incorrect.</value></member></struct></value></fault></methodResponse>";
        assert_eq!(
            answer(fault.as_bytes()).unwrap_err(),
            "error: \"Either the password or username is incorrect.\" code: 2950"
        );
        assert_eq!(answer(b"<a/>").unwrap_err(), "the answer has no value");
    }
}
