//! The paths of the directory.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    routing::{get, post},
};

use super::{
    gateway::{Gateway, take_query},
    json, query,
};
use crate::{
    contract::{
        AccessTokenName, AccountsReceivableIdentifier, BusinessUnitIdentifier, CustomerEventClassificationIdentifier,
        DeviceIdentifier, RewardsParticipantIdentifier, TransactionAcquiringPointIdentifier, UnitIdentifier,
    },
    transport::head::{Head, Method},
};

/// A method that shows one thing, whose attributes are the data itself, by its identifier.
macro_rules! show {
    ($call:ident, $answered:ident, $attribute:literal: $identifier:ty) => {
        get(async |State(gateway): State<Gateway>, mut request: Request| {
            let query = take_query(&mut request);
            // A GET has no use for a body.
            *request.body_mut() = Body::empty();
            let call = async |head: &Head, _| {
                let query = query::of_identifier::<$identifier>(&query, $attribute)?;
                let response = gateway.api.$call(head, json::request(query.as_bytes())?).await?;
                Ok(response.$answered)
            };
            gateway.serve(request, Method::LOOK_BACK, call).await
        })
    };
}

macro_rules! call {
    ($call:ident, $method:expr) => {
        post(async |State(gateway): State<Gateway>, request: Request| {
            let call = async |head: &Head, body: Bytes| gateway.api.$call(head, json::request(&body)?).await;
            gateway.serve(request, $method, call).await
        })
    };
    ($call:ident) => {
        call!($call, Method::LOOK_BACK)
    };
}

pub fn routes() -> Router<Gateway> {
    Router::new()
        .route(
            "/business_units/show",
            show!(get_business_unit, business_unit, "business_unit_identifier": BusinessUnitIdentifier),
        )
        .route("/business_units/list", call!(list_business_units))
        .route("/units/show", show!(get_unit, unit, "unit_identifier": UnitIdentifier))
        .route("/units/list", call!(list_units))
        .route(
            "/taps/show",
            show!(get_transaction_acquiring_point, tap, "tap_identifier": TransactionAcquiringPointIdentifier),
        )
        .route("/taps/list", call!(list_transaction_acquiring_points))
        .route("/devices/show", show!(get_device, device, "device_identifier": DeviceIdentifier))
        .route("/devices/list", call!(list_devices))
        .route(
            "/classifications/show",
            show!(
                get_classification,
                classification,
                "classification_identifier": CustomerEventClassificationIdentifier
            ),
        )
        .route("/classifications/list", call!(list_classifications))
        .route(
            "/accounts_receivable/show",
            show!(
                get_accounts_receivable,
                accounts_receivable,
                "accounts_receivable_identifier": AccountsReceivableIdentifier
            ),
        )
        .route("/accounts_receivable/list", call!(list_accounts_receivable))
        .route(
            "/rewards_participants/show",
            show!(get_participant, rewards_participant, "rewards_participant_identifier": RewardsParticipantIdentifier),
        )
        .route("/rewards_participants/list", call!(list_participants))
        .route("/rewards_participants/referral_tree/list", call!(list_referral_tree))
        .route("/access_tokens/show", show!(get_access_token, access_token, "access_token_identifier": AccessTokenName))
        .route("/access_tokens/list", call!(list_access_tokens))
        .route("/accounts_receivable/set_state", call!(set_accounts_receivable_state, Method::ADMINISTER))
        .route("/rewards_participants/set_state", call!(set_participant_state, Method::ADMINISTER))
        .route("/access_tokens/set_state", call!(set_access_token_state, Method::ADMINISTER))
}
