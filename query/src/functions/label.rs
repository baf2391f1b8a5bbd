//! Functions over label columns: nullable strings in which a label without a value is null.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};
use regex::Regex;
use varve_storage::Labels;

/// A column of label values, to read row by row.
#[derive(Debug)]
pub(crate) struct Texts(Option<StringArray>);

impl Texts {
    /// Reads a column; without one, all rows lack the label.
    pub(crate) fn try_new(column: Option<&ArrayRef>) -> Result<Self> {
        let column = column.map(|column| arrow::compute::cast(column, &DataType::Utf8));
        let column = column.transpose()?;
        Ok(Self(column.and_then(|c| c.as_string_opt().cloned())))
    }

    /// The value in a row; empty where the label is absent.
    pub(crate) fn get(&self, row: usize) -> &str {
        let column = self.0.as_ref().filter(|column| column.is_valid(row));
        column.map_or("", |column| column.value(row))
    }
}

/// A compiled regular expression that equals another of the same text.
#[derive(Clone, Debug)]
pub struct Pattern(Arc<Regex>);

impl Pattern {
    /// Wraps a compiled expression.
    pub fn new(regex: Regex) -> Self {
        Self(Arc::new(regex))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_str().hash(state);
    }
}

/// What a [`LabelFunction`] does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LabelOp {
    /// Arguments: the destination label and the source label. Where the source matches, the expanded template, else the
    /// destination as it was.
    Replace {
        /// Matched against the whole source.
        pattern: Pattern,
        /// The template; `$1`, `${name}` are groups.
        template: String,
    },
    /// All arguments with a separator between them.
    Join {
        /// The separator.
        separator: String,
    },
    /// A text by which label sets sort as Prometheus sorts them: name by name and value by value, and not as their columns do.
    Order {
        /// The names of the arguments, ascending.
        names: Vec<String>,
    },
    /// Prometheus's hash of the label set, as a decimal number: `limit_ratio` chooses by it.
    Hash {
        /// The names of the arguments, ascending.
        names: Vec<String>,
    },
    /// The arguments as the label set that they are the labels of, in Prometheus's notation: for error messages.
    Text {
        /// The names of the arguments, ascending.
        names: Vec<String>,
    },
}

/// A function of label columns that gives a label column.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LabelFunction {
    op: LabelOp,
    name: String,
    signature: Signature,
}

impl LabelFunction {
    /// A call of the function.
    pub fn call(op: LabelOp, args: Vec<Expr>) -> Expr {
        let name = match &op {
            LabelOp::Replace { pattern, template } => {
                format!("label_replace[{} {template:?}]", pattern.0.as_str())
            }
            LabelOp::Join { separator } => format!("label_join[{separator:?}]"),
            LabelOp::Order { .. } => "label_order".to_owned(),
            LabelOp::Hash { .. } => "label_hash".to_owned(),
            LabelOp::Text { .. } => "label_text".to_owned(),
        };
        let function = Self {
            op,
            name,
            signature: Signature::one_of(
                vec![TypeSignature::Nullary, TypeSignature::VariadicAny],
                Volatility::Immutable,
            ),
        };
        ScalarUDF::new_from_impl(function).call(args)
    }
}

impl ScalarUDFImpl for LabelFunction {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = args.number_rows;
        let columns = args
            .args
            .iter()
            .map(|arg| strings(arg, rows))
            .collect::<Result<Vec<_>>>()?;
        let get = |column: usize, row: usize| -> &str {
            columns
                .get(column)
                .filter(|values| values.is_valid(row))
                .map_or("", |values| values.value(row))
        };
        let texts = (0..rows).map(|row| match &self.op {
            LabelOp::Replace { pattern, template } => match pattern.0.captures(get(1, row)) {
                None => get(0, row).to_owned(),
                Some(captures) => {
                    let mut text = String::new();
                    captures.expand(template, &mut text);
                    text
                }
            },
            LabelOp::Join { separator } => {
                let values: Vec<&str> = (0..columns.len()).map(|column| get(column, row)).collect();
                values.join(separator)
            }
            LabelOp::Order { names } => {
                let mut text = String::new();
                for (i, name) in names.iter().enumerate() {
                    let value = get(i, row);
                    if !value.is_empty() {
                        text.extend([name, "\0", value, "\0"]);
                    }
                }
                text
            }
            LabelOp::Hash { names } => {
                let pairs = names.iter().enumerate();
                hash(pairs.map(|(i, name)| (name.as_str(), get(i, row)))).to_string()
            }
            LabelOp::Text { names } => {
                let pairs = names
                    .iter()
                    .enumerate()
                    .map(|(i, name)| (name, get(i, row)));
                Labels::from_pairs(pairs).to_string()
            }
        });
        let labels: StringArray = texts
            .map(|text| (!text.is_empty()).then_some(text))
            .collect();
        Ok(ColumnarValue::Array(Arc::new(labels)))
    }
}

/// The hash of a label set in ascending order of names: xxHash64 of names and values, each after its length, which takes one byte, or
/// the byte 255 and three more from 255 on.
fn hash<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> u64 {
    let mut bytes = Vec::new();
    for text in pairs
        .filter(|(_, value)| !value.is_empty())
        .flat_map(<[&str; 2]>::from)
    {
        match u8::try_from(text.len()) {
            Ok(length) if length < 255 => bytes.push(length),
            _ => {
                let [a, b, c, ..] = text.len().to_le_bytes();
                bytes.extend([255, a, b, c]);
            }
        }
        bytes.extend_from_slice(text.as_bytes());
    }
    twox_hash::XxHash64::oneshot(0, &bytes)
}

fn strings(arg: &ColumnarValue, rows: usize) -> Result<StringArray> {
    let array: ArrayRef = arg.to_array(rows)?;
    let array = arrow::compute::cast(&array, &DataType::Utf8)?;
    array.as_string_opt::<i32>().cloned().ok_or_else(|| {
        DataFusionError::Internal(format!("{} is not a label column", array.data_type()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The empty input's hash is a published constant of xxHash64; lengths are told apart from texts.
    #[test]
    fn label_sets_are_hashed_with_their_lengths() {
        assert_eq!(hash([].into_iter()), 0xef46_db37_51d8_e999);
        assert_eq!(hash([("a", "")].into_iter()), hash([].into_iter()));
        assert_ne!(
            hash([("ab", "c")].into_iter()),
            hash([("a", "bc")].into_iter())
        );
        let long = "x".repeat(300);
        let mut bytes = b"\x01a\xff\x2c\x01\x00".to_vec();
        bytes.extend_from_slice(long.as_bytes());
        assert_eq!(
            hash([("a", long.as_str())].into_iter()),
            twox_hash::XxHash64::oneshot(0, &bytes)
        );
    }
}
