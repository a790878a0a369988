//! Amounts: `{amount, currency}`, the amount in minor units.

use crate::body::Fields;
use pitchey_model::Money;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An amount in minor units (cents) of a currency.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Money)]
pub(crate) struct MoneyView {
    /// In minor units.
    #[schema(minimum = 0, maximum = 9_007_199_254_740_991_i64)]
    amount: i64,
    /// ISO 4217.
    #[schema(pattern = "^[A-Z]{3}$")]
    currency: String,
}

impl From<Money> for MoneyView {
    fn from(money: Money) -> Self {
        Self {
            amount: money.amount,
            currency: money.currency.to_string(),
        }
    }
}

/// The fields of an amount of at least `min`.
pub(crate) fn read(fields: &mut Fields, min: i64) -> Option<Money> {
    let amount = fields.required_integer("amount", min..=Money::MAX);
    let currency = fields.required_shaped("currency");
    let (amount, currency) = amount.zip(currency)?;
    Some(Money { amount, currency })
}
