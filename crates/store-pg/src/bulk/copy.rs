//! The binary format of `COPY`, as the manual's page on COPY describes it.

use uuid::Uuid;

/// Microseconds from 1970, where Unix counts from, to 2000, where PostgreSQL does.
const EPOCH_US: i64 = 946_684_800_000_000;
const EPOCH_DAYS: i64 = 10_957;
/// A signature, flags and the length of an extension: what stands before the first row.
pub(super) const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// What stands behind the last row.
pub(super) const TRAILER: &[u8] = &[0xff, 0xff];

/// Rows in the binary format, without header and trailer, so that pieces can be joined.
#[derive(Debug, Default)]
pub struct CopyRows {
    pub(super) bytes: Vec<u8>,
    pub(super) rows: u64,
}

impl CopyRows {
    /// Nothing yet, with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            rows: 0,
        }
    }

    /// How many rows there are.
    pub fn len(&self) -> u64 {
        self.rows
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// How many bytes they take.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn row(&mut self, fields: i16) -> &mut Self {
        self.rows += 1;
        self.bytes.extend_from_slice(&fields.to_be_bytes());
        self
    }

    fn field(&mut self, bytes: &[u8]) -> &mut Self {
        self.length(bytes.len());
        self.bytes.extend_from_slice(bytes);
        self
    }

    fn length(&mut self, length: usize) {
        // A field that long fails at the server; the bounds of the schema are far below.
        let length = i32::try_from(length).unwrap_or(i32::MAX);
        self.bytes.extend_from_slice(&length.to_be_bytes());
    }

    pub(super) fn null(&mut self) -> &mut Self {
        self.bytes.extend_from_slice(&(-1_i32).to_be_bytes());
        self
    }

    pub(super) fn optional<T>(
        &mut self,
        value: Option<T>,
        write: impl FnOnce(&mut Self, T) -> &mut Self,
    ) -> &mut Self {
        match value {
            Some(value) => write(self, value),
            None => self.null(),
        }
    }

    pub(super) fn uuid(&mut self, value: Uuid) -> &mut Self {
        self.field(value.as_bytes())
    }

    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.field(value.as_bytes())
    }

    pub(super) fn bytea(&mut self, value: &[u8]) -> &mut Self {
        self.field(value)
    }

    pub(super) fn i16(&mut self, value: i16) -> &mut Self {
        self.field(&value.to_be_bytes())
    }

    pub(super) fn i64(&mut self, value: i64) -> &mut Self {
        self.field(&value.to_be_bytes())
    }

    pub(super) fn f64(&mut self, value: f64) -> &mut Self {
        self.field(&value.to_be_bytes())
    }

    pub(super) fn timestamp(&mut self, unix_us: i64) -> &mut Self {
        self.field(&(unix_us - EPOCH_US).to_be_bytes())
    }

    pub(super) fn date(&mut self, unix_days: i64) -> &mut Self {
        let days = i32::try_from(unix_days - EPOCH_DAYS).unwrap_or(i32::MAX);
        self.field(&days.to_be_bytes())
    }

    pub(super) fn jsonb(&mut self, value: &str) -> &mut Self {
        const VERSION: u8 = 1;
        self.length(value.len() + 1);
        self.bytes.push(VERSION);
        self.bytes.extend_from_slice(value.as_bytes());
        self
    }

    /// A `text[]` of one dimension.
    pub(super) fn texts<T: AsRef<str>>(&mut self, values: &[T]) -> &mut Self {
        const TEXT_OID: i32 = 25;
        let at = self.bytes.len();
        self.length(0);
        let dimensions = i32::from(!values.is_empty());
        let no_nulls: i32 = 0;
        for part in [dimensions, no_nulls, TEXT_OID] {
            self.bytes.extend_from_slice(&part.to_be_bytes());
        }
        if !values.is_empty() {
            let first_index: i32 = 1;
            self.length(values.len());
            self.bytes.extend_from_slice(&first_index.to_be_bytes());
        }
        for value in values {
            self.text(value.as_ref());
        }
        let length = i32::try_from(self.bytes.len() - at - 4).unwrap_or(i32::MAX);
        self.bytes[at..at + 4].copy_from_slice(&length.to_be_bytes());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_lengths_and_bytes() {
        let mut rows = CopyRows::default();
        rows.row(3).text("é").null().i16(-2);
        let expected = [
            0, 3, 0, 0, 0, 2, 0xc3, 0xa9, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 2, 0xff, 0xfe,
        ];
        assert_eq!((rows.bytes.as_slice(), rows.len()), (&expected[..], 1));
    }

    #[test]
    fn times_count_from_the_year_2000() {
        let mut rows = CopyRows::default();
        rows.timestamp(EPOCH_US + 5).date(EPOCH_DAYS - 1);
        let expected = [
            0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff,
        ];
        assert_eq!(rows.bytes, expected);
    }

    #[test]
    fn arrays_tell_their_length_dimension_and_type() {
        let mut rows = CopyRows::default();
        rows.texts::<&str>(&[]).texts(&["ab"]);
        let expected = [
            0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 25, // none
            0, 0, 0, 26, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 25, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2,
            b'a', b'b',
        ];
        assert_eq!(rows.bytes, expected);
    }
}
