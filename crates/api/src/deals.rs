//! NDAs and interests.

mod interests;
mod ndas;

pub(crate) use interests::{
    __path_accept, __path_decline, __path_express, __path_interest, __path_interests,
    __path_withdraw_interest, accept, decline, express, interest, interests, withdraw_interest,
};
pub(crate) use ndas::{
    __path_approve, __path_nda, __path_ndas, __path_reject, __path_request, __path_revoke, approve,
    nda, ndas, reject, request, revoke,
};
