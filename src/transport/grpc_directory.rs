//! The directory's service of gRPC.

use tonic::{Request, Response, Status, Streaming};

use super::{grpc::GrpcService, import::ImportStream, load::Incoming};
use crate::contract::{services::directory_service_server::DirectoryService, *};

/// The calls, each by its name.
macro_rules! service {
    ($($call:ident($request:ident) -> $response:ident;)+ { $($streams:tt)* }) => {
        #[tonic::async_trait]
        impl DirectoryService for GrpcService {
            $(async fn $call(&self, request: Request<$request>) -> Result<Response<$response>, Status> {
                self.serve(request, async |head, request| self.0.$call(head, request).await).await
            })+

            $($streams)*
        }
    };
}

service! {
    get_business_unit(GetBusinessUnitRequest) -> GetBusinessUnitResponse;
    list_business_units(ListBusinessUnitsRequest) -> ListBusinessUnitsResponse;
    get_unit(GetUnitRequest) -> GetUnitResponse;
    list_units(ListUnitsRequest) -> ListUnitsResponse;
    get_transaction_acquiring_point(GetTransactionAcquiringPointRequest) -> GetTransactionAcquiringPointResponse;
    list_transaction_acquiring_points(ListTransactionAcquiringPointsRequest) -> ListTransactionAcquiringPointsResponse;
    get_device(GetDeviceRequest) -> GetDeviceResponse;
    list_devices(ListDevicesRequest) -> ListDevicesResponse;
    get_classification(GetClassificationRequest) -> GetClassificationResponse;
    list_classifications(ListClassificationsRequest) -> ListClassificationsResponse;
    get_accounts_receivable(GetAccountsReceivableRequest) -> GetAccountsReceivableResponse;
    list_accounts_receivable(ListAccountsReceivableRequest) -> ListAccountsReceivableResponse;
    get_participant(GetParticipantRequest) -> GetParticipantResponse;
    list_participants(ListParticipantsRequest) -> ListParticipantsResponse;
    get_access_token(GetAccessTokenRequest) -> GetAccessTokenResponse;
    list_access_tokens(ListAccessTokensRequest) -> ListAccessTokensResponse;
    list_referral_tree(ListReferralTreeRequest) -> ListReferralTreeResponse;
    set_accounts_receivable_state(SetAccountsReceivableStateRequest) -> SetAccountsReceivableStateResponse;
    set_participant_state(SetParticipantStateRequest) -> SetParticipantStateResponse;
    set_access_token_state(SetAccessTokenStateRequest) -> SetAccessTokenStateResponse;

    {
        /// The messages are read by [`ImportStream`], for which the request has come without its body.
        async fn import_directory(
            &self,
            request: Request<Streaming<ImportDirectoryRequest>>,
        ) -> Result<Response<ImportDirectoryResponse>, Status> {
            let stream = request.extensions().get::<Incoming<ImportStream>>().and_then(Incoming::take);
            let stream = stream.ok_or_else(|| Status::internal("the stream was not begun"))?;
            stream.answer().await.map(Response::new)
        }
    }
}
