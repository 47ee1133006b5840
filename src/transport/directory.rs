//! The calls that answer the directory.

use prost::{Message, Name};

use super::{
    admission::{Load, Permit},
    api::{Api, in_queue, sender},
    convert::unboxed,
    fields::Fields,
    head::Head,
    look_back::{COST_OF_A_LIST, how_many_have_room},
};
use crate::{
    contract::{self, *},
    directory::{
        AccessToken, Account, BusinessUnit, Classification, Device, DirectoryKind, DirectoryRow, Participant,
        RowFilterRequest, RowListRequest, Tap, Unit,
    },
    error::Result,
    referral::{
        Sender, TreeRequest,
        event::{EntryIdentifier, PartyIdentifiers},
        given::EntryKind,
    },
};

/// Which page of a list, and what of each row.
struct PageRequest {
    token: Option<String>,
    fields_set: Vec<String>,
    number_of_results: Option<u32>,
    page_token: Option<String>,
}

/// Takes it out of a request.
macro_rules! page_of {
    ($request:ident) => {
        PageRequest {
            token: $request.token.take(),
            fields_set: std::mem::take(&mut $request.fields_set),
            number_of_results: $request.number_of_results,
            page_token: $request.page_token.take(),
        }
    };
}

impl Api {
    pub async fn get_business_unit(
        &self,
        head: &Head,
        request: GetBusinessUnitRequest,
    ) -> Result<GetBusinessUnitResponse> {
        let identifier = unboxed(request.business_unit_identifier);
        let kind = EntryKind::BusinessUnit;
        let entry = self.entry::<BusinessUnit, _>(head, request.token, &request.fields_set, kind, identifier).await?;
        Ok(GetBusinessUnitResponse { business_unit: Some(entry) })
    }

    pub async fn list_business_units(
        &self,
        head: &Head,
        mut request: ListBusinessUnitsRequest,
    ) -> Result<ListBusinessUnitsResponse> {
        let filter = RowFilterRequest::default();
        let (business_units_set, next_page_token) =
            self.rows::<BusinessUnit, _>(head, page_of!(request), filter).await?;
        Ok(ListBusinessUnitsResponse { business_units_set, next_page_token })
    }

    pub async fn get_unit(&self, head: &Head, request: GetUnitRequest) -> Result<GetUnitResponse> {
        let identifier = unboxed(request.unit_identifier);
        let entry =
            self.entry::<Unit, _>(head, request.token, &request.fields_set, EntryKind::Unit, identifier).await?;
        Ok(GetUnitResponse { unit: Some(entry) })
    }

    pub async fn list_units(&self, head: &Head, mut request: ListUnitsRequest) -> Result<ListUnitsResponse> {
        let business_unit = unboxed(request.business_unit_identifier.take());
        let filter = RowFilterRequest { business_unit, ..RowFilterRequest::default() };
        let (units_set, next_page_token) = self.rows::<Unit, _>(head, page_of!(request), filter).await?;
        Ok(ListUnitsResponse { units_set, next_page_token })
    }

    pub async fn get_transaction_acquiring_point(
        &self,
        head: &Head,
        request: GetTransactionAcquiringPointRequest,
    ) -> Result<GetTransactionAcquiringPointResponse> {
        let identifier = unboxed(request.tap_identifier);
        let entry = self.entry::<Tap, _>(head, request.token, &request.fields_set, EntryKind::Tap, identifier).await?;
        Ok(GetTransactionAcquiringPointResponse { tap: Some(entry) })
    }

    pub async fn list_transaction_acquiring_points(
        &self,
        head: &Head,
        mut request: ListTransactionAcquiringPointsRequest,
    ) -> Result<ListTransactionAcquiringPointsResponse> {
        let business_unit = unboxed(request.business_unit_identifier.take());
        let unit = unboxed(request.unit_identifier.take());
        let filter = RowFilterRequest { business_unit, unit, ..RowFilterRequest::default() };
        let (taps_set, next_page_token) = self.rows::<Tap, _>(head, page_of!(request), filter).await?;
        Ok(ListTransactionAcquiringPointsResponse { taps_set, next_page_token })
    }

    pub async fn get_device(&self, head: &Head, request: GetDeviceRequest) -> Result<GetDeviceResponse> {
        let identifier = unboxed(request.device_identifier);
        let entry =
            self.entry::<Device, _>(head, request.token, &request.fields_set, EntryKind::Device, identifier).await?;
        Ok(GetDeviceResponse { device: Some(entry) })
    }

    pub async fn list_devices(&self, head: &Head, mut request: ListDevicesRequest) -> Result<ListDevicesResponse> {
        let unit = unboxed(request.unit_identifier.take());
        let filter = RowFilterRequest { unit, ..RowFilterRequest::default() };
        let (devices_set, next_page_token) = self.rows::<Device, _>(head, page_of!(request), filter).await?;
        Ok(ListDevicesResponse { devices_set, next_page_token })
    }

    pub async fn get_classification(
        &self,
        head: &Head,
        request: GetClassificationRequest,
    ) -> Result<GetClassificationResponse> {
        let identifier = unboxed(request.classification_identifier);
        let kind = EntryKind::Classification;
        let entry = self.entry::<Classification, _>(head, request.token, &request.fields_set, kind, identifier).await?;
        Ok(GetClassificationResponse { classification: Some(entry) })
    }

    pub async fn list_classifications(
        &self,
        head: &Head,
        mut request: ListClassificationsRequest,
    ) -> Result<ListClassificationsResponse> {
        let filter = RowFilterRequest::default();
        let (classifications_set, next_page_token) =
            self.rows::<Classification, _>(head, page_of!(request), filter).await?;
        Ok(ListClassificationsResponse { classifications_set, next_page_token })
    }

    pub async fn get_accounts_receivable(
        &self,
        head: &Head,
        request: GetAccountsReceivableRequest,
    ) -> Result<GetAccountsReceivableResponse> {
        let (sender, fields, permit) =
            self.lookup::<AccountsReceivable>(head, request.token, &request.fields_set).await?;
        let identifier = unboxed(request.accounts_receivable_identifier);
        let account: Account = self.directory.account(sender, identifier, permit).await?;
        Ok(GetAccountsReceivableResponse { accounts_receivable: Some(kept(&fields, account)?) })
    }

    pub async fn list_accounts_receivable(
        &self,
        head: &Head,
        mut request: ListAccountsReceivableRequest,
    ) -> Result<ListAccountsReceivableResponse> {
        let state = request.state.take().map(|state| (state, DirectoryKind::AccountsReceivable));
        let filter = RowFilterRequest { state, ..RowFilterRequest::default() };
        let (accounts_receivable_set, next_page_token) =
            self.rows::<Account, _>(head, page_of!(request), filter).await?;
        Ok(ListAccountsReceivableResponse { accounts_receivable_set, next_page_token })
    }

    pub async fn get_participant(&self, head: &Head, request: GetParticipantRequest) -> Result<GetParticipantResponse> {
        let (sender, fields, permit) =
            self.lookup::<ParticipantDetails>(head, request.token, &request.fields_set).await?;
        let identifier = unboxed(request.rewards_participant_identifier);
        let participant = self.referral_events.participant(sender, identifier, permit).await?;
        Ok(GetParticipantResponse { rewards_participant: Some(kept(&fields, participant)?) })
    }

    pub async fn list_participants(
        &self,
        head: &Head,
        mut request: ListParticipantsRequest,
    ) -> Result<ListParticipantsResponse> {
        let state = request.state.take().map(|state| (state, DirectoryKind::RewardsParticipants));
        let filter = RowFilterRequest { state, ..RowFilterRequest::default() };
        let (rewards_participants_set, next_page_token) =
            self.rows::<Participant, _>(head, page_of!(request), filter).await?;
        Ok(ListParticipantsResponse { rewards_participants_set, next_page_token })
    }

    pub async fn get_access_token(
        &self,
        head: &Head,
        request: GetAccessTokenRequest,
    ) -> Result<GetAccessTokenResponse> {
        let (sender, fields, permit) =
            self.lookup::<contract::AccessToken>(head, request.token, &request.fields_set).await?;
        let name = request.access_token_identifier.map(Into::into);
        let token = self.directory.access_token(sender.organisation_id, name, permit).await?;
        Ok(GetAccessTokenResponse { access_token: Some(kept(&fields, token)?) })
    }

    pub async fn list_access_tokens(
        &self,
        head: &Head,
        mut request: ListAccessTokensRequest,
    ) -> Result<ListAccessTokensResponse> {
        let state = request.state.take().map(|state| (state, DirectoryKind::AccessTokens));
        let participant = unboxed(request.rewards_participant_identifier.take());
        let filter = RowFilterRequest { state, participant, ..RowFilterRequest::default() };
        let (access_tokens_set, next_page_token) = self.rows::<AccessToken, _>(head, page_of!(request), filter).await?;
        Ok(ListAccessTokensResponse { access_tokens_set, next_page_token })
    }

    pub async fn list_referral_tree(
        &self,
        head: &Head,
        request: ListReferralTreeRequest,
    ) -> Result<ListReferralTreeResponse> {
        let caller = self.caller(head, request.token).await?;
        let fields = Fields::of::<ReferralTreeNode>(&request.fields_set)?;
        let permit = in_queue(&self.reads, &caller, Load::Other(COST_OF_A_LIST)).await?;
        let request = TreeRequest {
            party: PartyIdentifiers {
                accounts_receivable: unboxed(request.accounts_receivable_identifier),
                rewards_participant: unboxed(request.rewards_participant_identifier),
            },
            direction: request.direction,
            levels: request.levels,
            number_of_results: request.number_of_results,
            page_token: request.page_token,
        };
        let tree = self.referral_events.tree(sender(head, &caller), request, permit).await?;
        // A thousand of them are far from too large.
        let mut referral_tree_nodes_set: Vec<_> = tree.nodes.into_iter().map(Into::into).collect();
        fields.keep(&mut referral_tree_nodes_set)?;
        Ok(ListReferralTreeResponse { referral_tree_nodes_set, next_page_token: tree.next_page_token })
    }

    /// What is done before one row is looked up, which is answered as `M`.
    async fn lookup<M: Name>(
        &self,
        head: &Head,
        token: Option<String>,
        fields_set: &[String],
    ) -> Result<(Sender, Fields, Permit)> {
        let caller = self.caller(head, token).await?;
        let fields = Fields::of::<M>(fields_set)?;
        let permit = in_queue(&self.reads, &caller, Load::Other(1)).await?;
        Ok((sender(head, &caller), fields, permit))
    }

    /// The place or classification that an identifier names.
    async fn entry<R: DirectoryRow, M: From<R> + Message + Name + Default>(
        &self,
        head: &Head,
        token: Option<String>,
        fields_set: &[String],
        kind: EntryKind,
        identifier: Option<EntryIdentifier>,
    ) -> Result<M> {
        let (sender, fields, permit) = self.lookup::<M>(head, token, fields_set).await?;
        let row: R = self.directory.entry(sender.organisation_id, kind, identifier, permit).await?;
        kept(&fields, row)
    }

    /// A page of the rows of a kind, and the token of the next one.
    async fn rows<R: DirectoryRow, M: From<R> + Message + Name + Default>(
        &self,
        head: &Head,
        page: PageRequest,
        filter: RowFilterRequest,
    ) -> Result<(Vec<M>, Option<String>)> {
        let caller = self.caller(head, page.token).await?;
        let fields = Fields::of::<M>(&page.fields_set)?;
        let permit = in_queue(&self.reads, &caller, Load::Other(COST_OF_A_LIST)).await?;
        let PageRequest { number_of_results, page_token, .. } = page;
        let request = RowListRequest { filter, number_of_results, page_token };
        let listed = self.directory.list::<R>(sender(head, &caller), request, permit).await?;
        let mut set: Vec<M> = listed.rows.iter().cloned().map(Into::into).collect();
        fields.keep(&mut set)?;
        let room = how_many_have_room(&set);
        set.truncate(room);
        Ok((set, listed.next_page_token(room)))
    }
}

/// What the caller wants of a row.
fn kept<R, M: From<R> + Message + Name + Default>(fields: &Fields, row: R) -> Result<M> {
    let mut message = M::from(row);
    fields.keep(std::slice::from_mut(&mut message))?;
    Ok(message)
}

impl From<AccessTokenName> for crate::directory::AccessTokenName {
    fn from(name: AccessTokenName) -> Self {
        Self { id: name.id, identifier: name.identifier }
    }
}
