//! The calls of the service, the same for both transports.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::http::HeaderMap;
use prost::Message;
use tokio::sync::Notify;

use super::{
    admission::{Admission, Load, Permit},
    budget::{Budget, Holder},
    convert::{EVENT, bulk_response, create_response},
    deprecation,
    fields::{ByDefault, Fields},
    head::{Access, Head, Method, too_large},
    request::{self, RequestId},
};
use crate::{
    auth::{Authenticator, Caller, Credentials, Origin, TOKEN_LIFETIME, TokenFault},
    contract::{
        BulkCreateReferralEventsResponse, CreateReferralEventResponse, CreateTokenRequest, CreateTokenResponse,
        MAXIMUM_ANSWER_SIZE, MAXIMUM_EVENTS, ReleaseTokenRequest, ReleaseTokenResponse,
    },
    directory::Directory,
    error::{Error, ErrorKind, Result},
    metrics::{CallRecord, Step},
    referral::{
        Answered, Idempotency, Options, ReferralEvents, Report, Sender, event::EventRequest, violation::Violation,
    },
    secret::Secret,
};

/// What the calls are made of.
#[derive(Clone)]
pub struct Api {
    pub authenticator: Authenticator,
    pub referral_events: ReferralEvents,
    pub directory: Directory,
    /// How long a call may take.
    pub time_limit: Duration,
    /// The calls that write.
    pub writes: Admission,
    /// The calls that only read.
    pub reads: Admission,
    /// What bodies and answers may have of the memory.
    pub budget: Budget,
}

/// A call whose events are not yet read: who may not call, or sends too many, costs nothing more.
pub struct CreateCall<E> {
    pub token: Option<String>,
    /// No more of them than a call may have.
    pub events: Vec<E>,
    /// How many there were.
    pub number_of_events: usize,
    pub fields_set: Vec<String>,
    pub options: Options,
}

/// An answer, and whether it was kept from an earlier call under the same idempotency key.
pub struct Answer<T> {
    pub message: T,
    pub is_repeated: bool,
}

impl<T> Answer<T> {
    pub fn new(message: T) -> Self {
        Self { message, is_repeated: false }
    }
}

impl Api {
    /// Begins a request whose body has `announced` bytes at least. A token in the header is checked here, so that who
    /// may not call is not read.
    pub async fn begin(
        &self,
        headers: HeaderMap,
        request_id: RequestId,
        method: Method,
        announced: u64,
    ) -> Result<Head> {
        if announced > method.limit as u64 {
            return Err(too_large(method.limit));
        }
        let known = match method.access {
            Access::Anybody => None,
            access => self.recognise(&headers, access).await?,
        };
        let holder =
            known.as_ref().map_or(Holder::Anonymous, |(_, caller)| Holder::Organisation(caller.organisation_id));
        Ok(Head { known, ..self.head(headers, request_id, holder) })
    }

    /// Who calls by the token of the header, if there is one.
    pub(super) async fn recognise(&self, headers: &HeaderMap, access: Access) -> Result<Option<(Secret, Arc<Caller>)>> {
        let Some(token) = request::token_of_header(headers)? else { return Ok(None) };
        let verified = self.authenticator.verify(&token)?;
        if matches!(access, Access::Creators | Access::Administrators) {
            self.writes.check(verified.organisation_id())?;
        }
        let caller = self.authenticator.authenticate(verified).await?;
        match access {
            Access::Creators => caller.require_creation()?,
            Access::Administrators => caller.require_administration()?,
            Access::Anybody | Access::WithToken => {}
        }
        note_caller(&caller);
        Ok(Some((token, Arc::new(caller))))
    }

    /// The head of what `holder` sends.
    pub(super) fn head(&self, headers: HeaderMap, request_id: RequestId, holder: Holder) -> Head {
        let revoked = Arc::new(Notify::new());
        let telling = revoked.clone();
        let charge = self.budget.charge(holder, move || telling.notify_one());
        Head { headers, request_id, known: None, charge, revoked, begun: Instant::now() }
    }

    /// Who calls: by the token of the header, which is known already, or by that of the message. Two that differ are
    /// refused.
    pub(super) async fn caller(&self, head: &Head, token: Option<String>) -> Result<Arc<Caller>> {
        let token = token.filter(|token| !token.is_empty()).map(Secret::new);
        match (&head.known, token) {
            (Some((known, _)), Some(token)) if *known != token => Err(TokenFault::Different.into()),
            (Some((_, caller)), _) => Ok(caller.clone()),
            (None, Some(token)) => {
                let caller = self.authenticator.authenticate(self.authenticator.verify(&token)?).await?;
                head.charge.move_to(Holder::Organisation(caller.organisation_id));
                note_caller(&caller);
                Ok(Arc::new(caller))
            }
            (None, None) => Err(TokenFault::Missing.into()),
        }
    }

    pub async fn create_token(
        &self,
        head: &Head,
        peer: Option<IpAddr>,
        request: CreateTokenRequest,
    ) -> Result<CreateTokenResponse> {
        let credentials = Credentials {
            username: mandatory("username", request.username)?,
            password: Secret::new(mandatory("password", request.password)?),
            organisation: mandatory("organisation", request.organisation)?,
            unit: request.unit.filter(|unit| !unit.trim().is_empty()),
        };
        let origin = Origin { peer, former_token: request::token_of_header(&head.headers).ok().flatten() };
        let token = self.authenticator.create_token(credentials, origin).await?;
        let expires_in = u32::try_from(TOKEN_LIFETIME.num_seconds()).map_err(Error::internal)?;
        Ok(CreateTokenResponse { token: token.expose().to_owned(), expires_in })
    }

    pub async fn release_token(&self, head: &Head, request: ReleaseTokenRequest) -> Result<ReleaseTokenResponse> {
        let caller = self.caller(head, request.token).await?;
        let _permit = in_queue(&self.writes, &caller, Load::Other(1)).await?;
        self.authenticator.release_token(&caller).await?;
        Ok(ReleaseTokenResponse {})
    }

    pub async fn bulk_create_referral_events<E: Into<EventRequest>>(
        &self,
        head: &Head,
        call: CreateCall<E>,
        by_default: ByDefault,
    ) -> Result<Answer<BulkCreateReferralEventsResponse>> {
        let fields = |fields_set: &[String]| Fields::of_bulk(fields_set, by_default);
        let respond = |report: &Report| Ok(bulk_response(report, MAXIMUM_ANSWER_SIZE));
        let (fields, mut answer) = self.create(head, call, "bulk", fields, limit_of_bulk, respond).await?;
        fields.keep_in_bulk(&mut answer.message)?;
        Ok(answer)
    }

    pub async fn create_referral_event<E: Into<EventRequest>>(
        &self,
        head: &Head,
        call: CreateCall<E>,
        by_default: ByDefault,
    ) -> Result<Answer<CreateReferralEventResponse>> {
        // Nothing is named by it here, for there is one event.
        let name = |event: E| EventRequest { request_unique_identifier: Some("1".to_owned()), ..event.into() };
        let call = CreateCall {
            events: call.events.into_iter().map(name).collect(),
            number_of_events: call.number_of_events,
            token: call.token,
            fields_set: call.fields_set,
            options: Options { is_of_one: true, ..call.options },
        };
        let fields = |fields_set: &[String]| Fields::of_one(fields_set, by_default);
        let limit = |events: usize| if events == 0 { Err(missing(EVENT)) } else { Ok(()) };
        let (fields, mut answer) = self.create(head, call, "create", fields, limit, create_response).await?;
        fields.keep(std::slice::from_mut(&mut answer.message))?;
        Ok(answer)
    }

    /// Creates events and answers them; `method` names the call under idempotency keys.
    pub(super) async fn create<E: Into<EventRequest>, M: Message + Default>(
        &self,
        head: &Head,
        call: CreateCall<E>,
        method: &'static str,
        fields: impl FnOnce(&[String]) -> Result<Fields>,
        limit: impl FnOnce(usize) -> Result<()>,
        respond: impl Fn(&Report) -> Result<M> + Copy + Send + Sync + 'static,
    ) -> Result<(Fields, Answer<M>)> {
        let caller = self.caller(head, call.token).await?;
        caller.require_creation()?;
        let fields = fields(&call.fields_set)?;
        limit(call.number_of_events)?;
        // Who calls is known, and what they ask is there to be read.
        let key = request::idempotency_key(&head.headers)?;
        let permit = self.admit(&caller, call.number_of_events, call.options).await?;
        let timer = CallRecord::current().timer(Step::Read);
        // A refused call is a new one the next time.
        let kept = move |report: &Report| respond(report).ok().map(|message| message.encode_to_vec());
        let idempotency = key.map(|key| Idempotency { key, method, encode: Box::new(kept) });
        let events = read_events(call.events).await;
        drop(timer);
        deprecation::note_use(&caller, &self.referral_events.release().deprecated_of(&events));
        let created =
            self.referral_events.bulk_create(sender(head, &caller), events, call.options, idempotency, permit);
        // Boxed: nested in this future it is too deep for the compiler when it optimises.
        let answered = Box::pin(created).await?;
        let answer = match answered {
            Answered::Now(report) => Answer::new(respond(&report)?),
            Answered::Before(kept) => {
                CallRecord::current().note(|facts| facts.is_repeated = true);
                Answer { message: M::decode(kept.as_slice()).map_err(Error::internal)?, is_repeated: true }
            }
        };
        Ok((fields, answer))
    }

    /// Waits for the permit of a call with so many events. A rehearsal stands in no writer's way.
    async fn admit(&self, caller: &Caller, events: usize, options: Options) -> Result<Permit> {
        let (queue, load) = match options.validate_only {
            true => (&self.reads, Load::Other(events)),
            false => (&self.writes, Load::Creates(events)),
        };
        in_queue(queue, caller, load).await
    }

    /// Runs a call for as long as the caller waits and the service allows. Every call of every transport runs in this,
    /// the reading of a body included.
    pub async fn within_time_limit<T>(&self, headers: &HeaderMap, call: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = request::timeout(headers)?.map_or(self.time_limit, |timeout| timeout.min(self.time_limit));
        tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
            let message = "The call took too long; its events were all created or none was.";
            Err(Error::new(ErrorKind::DeadlineExceeded, message))
        })
    }
}

/// Refuses a bulk call without events, or with too many.
pub(super) fn limit_of_bulk(events: usize) -> Result<()> {
    match events {
        0 => Err(missing("referral_customer_events_set")),
        1..=MAXIMUM_EVENTS => {
            CallRecord::current().batch(events);
            Ok(())
        }
        _ => {
            let message = format!("A call holds at most {MAXIMUM_EVENTS} events; this one holds {events}.");
            let error = Error::new(ErrorKind::MaximumNumberOfEventsExceeded, message);
            Err(error.at_field("referral_customer_events_set"))
        }
    }
}

/// Reads events one by one, and lets others at the processor, and the time limit see to its end, in between.
pub(super) async fn read_events<E: Into<EventRequest>>(raw: Vec<E>) -> Vec<EventRequest> {
    let mut events = Vec::with_capacity(raw.len());
    for event in raw {
        tokio::task::consume_budget().await;
        events.push(event.into());
    }
    events
}

pub(super) fn sender(head: &Head, caller: &Caller) -> Sender {
    Sender {
        organisation_id: caller.organisation_id,
        user_id: caller.user_id.clone(),
        user_name: caller.user_name.clone(),
        request_id: head.request_id.to_string(),
    }
}

/// Waits for the permit of a call, and takes the time.
pub(super) async fn in_queue(queue: &Admission, caller: &Caller, load: Load) -> Result<Permit> {
    let _timer = CallRecord::current().timer(Step::Queue);
    queue.enter(caller.organisation_id, load).await
}

fn note_caller(caller: &Caller) {
    CallRecord::current().note(|facts| {
        facts.organisation = Some(caller.organisation_id.0);
        facts.user = Some(caller.user_id.clone());
    });
}

pub(super) fn mandatory(field: &str, value: Option<String>) -> Result<String> {
    value.filter(|value| !value.trim().is_empty()).ok_or_else(|| missing(field))
}

pub(super) fn missing(field: &str) -> Error {
    let message = Violation::missing(field).error_description();
    Error::new(ErrorKind::MissingMandatoryAttribute, message).at_field(field)
}
