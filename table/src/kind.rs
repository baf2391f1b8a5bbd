//! The tables of a tenant: their columns, sort orders and Delta schemas.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use serde_json::{Value, json};
use varve_storage::columns;

/// In `metadata`: the name of a metric family.
pub const FAMILY: &str = "family";
/// In `metadata`: the metric's type, by Prometheus's names.
pub const TYPE: &str = "type";
/// In `metadata`: the unit, "" where none is declared.
pub const UNIT: &str = "unit";
/// In `metadata`: the help text, "" where none is declared.
pub const HELP: &str = "help";

/// One of a tenant's Delta tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TableKind {
    /// One row per series and day: what there is.
    Series,
    /// Every sample, one row per series and slice of time.
    Samples,
    /// Type, unit and help of metric families; `date` is the day on which a combination was first seen.
    Metadata,
    /// Exemplars, one row each. The table exists only where there are some.
    Exemplars,
}

impl TableKind {
    /// Every table.
    pub const ALL: [Self; 4] = [Self::Series, Self::Samples, Self::Metadata, Self::Exemplars];

    /// The table's name, which is also its folder under the tenant's prefix.
    pub fn name(self) -> &'static str {
        match self {
            Self::Series => "series",
            Self::Samples => "samples",
            Self::Metadata => "metadata",
            Self::Exemplars => "exemplars",
        }
    }

    /// The columns of a data file. The partition column `date` is not among them: its value is in the log.
    pub fn file_schema(self) -> SchemaRef {
        match self {
            Self::Series => columns::series_schema(),
            Self::Samples => columns::samples_schema(),
            Self::Metadata => Arc::new(Schema::new(
                [FAMILY, TYPE, UNIT, HELP]
                    .map(|name| Field::new(name, DataType::Utf8, false))
                    .to_vec(),
            )),
            Self::Exemplars => columns::exemplars_schema(),
        }
    }

    /// The columns by which the rows of a data file are sorted, ascending. In `series` the map `labels` follows:
    /// its pairs compare in order, names before values, a prefix first. In `exemplars` the map `exemplar_labels` follows likewise, then
    /// the bits of `value`.
    pub fn sort_columns(self) -> &'static [&'static str] {
        match self {
            Self::Series => &[columns::NAME],
            Self::Samples => &[columns::NAME, columns::SERIES_ID, columns::MIN_TIME],
            Self::Metadata => &[FAMILY, TYPE, UNIT, HELP],
            Self::Exemplars => &[columns::NAME, columns::SERIES_ID, columns::TIMESTAMP],
        }
    }

    /// The column whose least and greatest text the log gives for each file: the first of the sort order.
    pub(crate) fn name_column(self) -> &'static str {
        match self {
            Self::Metadata => FAMILY,
            Self::Series | Self::Samples | Self::Exemplars => columns::NAME,
        }
    }

    /// The columns with the first and the last time of a row, of which the log gives the bounds; they may be one.
    pub(crate) fn time_columns(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Series | Self::Samples => Some((columns::MIN_TIME, columns::MAX_TIME)),
            Self::Exemplars => Some((columns::TIMESTAMP, columns::TIMESTAMP)),
            Self::Metadata => None,
        }
    }

    /// The `schemaString` of the table's `metaData` action.
    ///
    /// Every top-level column is nullable there: a column that may not be null would be a constraint that engines have
    /// to enforce, and no file holds a null where Varve does not expect one anyway.
    pub(crate) fn schema_string(self) -> String {
        let date = Field::new(columns::DATE, DataType::Date32, true);
        let fields: Vec<Value> = std::iter::once(&date)
            .chain(self.file_schema().fields().iter().map(AsRef::as_ref))
            .map(|field| delta_field(field, true))
            .collect();
        json!({ "type": "struct", "fields": fields }).to_string()
    }

    /// The `schemaString` of a table that was made before it had all of its columns, with those that it lacks at the end. `None` where it
    /// lacks none, and where it cannot be read: then it is not Varve's to change. Columns that are not known stay.
    pub(crate) fn with_new_columns(self, schema_string: &str) -> Option<String> {
        let name = |field: &Value| field.get("name")?.as_str().map(str::to_owned);
        let mut schema: Value = serde_json::from_str(schema_string).ok()?;
        let fields = schema.get_mut("fields")?.as_array_mut()?;
        let known: Vec<String> = fields.iter().filter_map(name).collect();
        let before = fields.len();
        for field in self.file_schema().fields() {
            if !known.contains(field.name()) {
                fields.push(delta_field(field, true));
            }
        }
        (fields.len() > before).then(|| schema.to_string())
    }
}

fn delta_field(field: &Field, nullable: bool) -> Value {
    json!({
        "name": field.name(),
        "type": delta_type(field.data_type()),
        "nullable": nullable,
        "metadata": {},
    })
}

fn delta_type(data_type: &DataType) -> Value {
    match data_type {
        DataType::Int8 => json!("byte"),
        DataType::Int32 => json!("integer"),
        DataType::Int64 => json!("long"),
        DataType::Float64 => json!("double"),
        DataType::Binary => json!("binary"),
        DataType::Date32 => json!("date"),
        DataType::List(item) => json!({
            "type": "array",
            "elementType": delta_type(item.data_type()),
            "containsNull": item.is_nullable(),
        }),
        DataType::Struct(fields) => {
            let fields: Vec<Value> = fields
                .iter()
                .map(|f| delta_field(f, f.is_nullable()))
                .collect();
            json!({ "type": "struct", "fields": fields })
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(pair) if pair.len() == 2 => json!({
                "type": "map",
                "keyType": delta_type(pair[0].data_type()),
                "valueType": delta_type(pair[1].data_type()),
                "valueContainsNull": pair[1].is_nullable(),
            }),
            _ => json!("string"),
        },
        _ => json!("string"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn delta_schemas_name_every_column_of_a_file() {
        insta::assert_snapshot!(TableKind::Series.schema_string(), @r#"{"fields":[{"metadata":{},"name":"date","nullable":true,"type":"date"},{"metadata":{},"name":"__name__","nullable":true,"type":"string"},{"metadata":{},"name":"labels","nullable":true,"type":{"keyType":"string","type":"map","valueContainsNull":true,"valueType":"string"}},{"metadata":{},"name":"series_id","nullable":true,"type":"binary"},{"metadata":{},"name":"min_time","nullable":true,"type":"long"},{"metadata":{},"name":"max_time","nullable":true,"type":"long"},{"metadata":{},"name":"samples","nullable":true,"type":"long"}],"type":"struct"}"#);
        for kind in TableKind::ALL {
            let schema = kind.schema_string();
            for field in kind.file_schema().fields() {
                assert!(schema.contains(&format!("\"name\":\"{}\"", field.name())));
            }
        }
    }

    #[test]
    fn an_old_schema_gets_the_columns_that_it_lacks_and_keeps_its_own() {
        let kind = TableKind::Samples;
        let new = kind.schema_string();
        assert_eq!(kind.with_new_columns(&new), None);
        let mut old: Value = serde_json::from_str(&new).unwrap();
        let fields = old["fields"].as_array_mut().unwrap();
        let last = fields.pop().unwrap();
        assert_eq!(last["name"], "start_timestamps");
        assert_eq!(kind.with_new_columns(&old.to_string()), Some(new));
        let fields = old["fields"].as_array_mut().unwrap();
        fields.push(json!({ "name": "theirs", "type": "long", "nullable": true, "metadata": {} }));
        let both = kind.with_new_columns(&old.to_string()).unwrap();
        let both: Value = serde_json::from_str(&both).unwrap();
        let names: Vec<&str> = both["fields"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|field| field["name"].as_str())
            .collect();
        assert_eq!(names[names.len() - 2..], ["theirs", "start_timestamps"]);
        assert_eq!(kind.with_new_columns("{}"), None);
    }
}
