//! The stream of rows to import: the rows of each message are stored before the next is read.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderValue, header::AUTHORIZATION, request::Parts},
};
use prost::{
    DecodeError, Message,
    bytes::Buf,
    encoding::{self, DecodeContext, decode_key},
};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{
    admission::Load,
    api::{Api, in_queue, missing, sender},
    budget::Holder,
    head::{Access, Head, Method},
    load::Messages,
    packed::Encoding,
    request::{self, GoesAway},
    status,
};
use crate::{
    auth::Caller,
    contract::{DirectoryRow, ImportDirectoryRequest, ImportDirectoryResponse, RejectedRow},
    directory::{DirectoryImport, ImportSummary, Values},
    error::{Error, ErrorKind, Result},
};

/// The most rows of a message.
const MAXIMUM_ROWS: usize = 1000;
/// How long an import may take in all, unless its caller says less.
const TIME_LIMIT: Duration = Duration::from_secs(3600);

/// An import that is under way. Each message has the limits of a call.
pub struct ImportStream {
    api: Api,
    head: Arc<Head>,
    /// Those of each message: the stream's, with a token.
    headers: HeaderMap,
    messages: Messages,
    /// Told when the stream is to end.
    goes_away: CancellationToken,
    deadline: Instant,
    import: Option<DirectoryImport>,
}

impl ImportStream {
    pub fn begin(api: Api, head: Arc<Head>, body: Body, parts: &Parts) -> Result<Self> {
        let timeout = request::timeout(&head.headers)?.unwrap_or(TIME_LIMIT).min(TIME_LIMIT);
        let goes_away = parts.extensions.get().map(|GoesAway(told)| told.clone());
        Ok(Self {
            api,
            headers: head.headers.clone(),
            messages: Messages::new(body, Encoding::of_message(&head.headers)),
            head,
            goes_away: goes_away.unwrap_or_default(),
            deadline: Instant::now() + timeout,
            import: None,
        })
    }

    /// What became of all rows.
    pub async fn answer(mut self) -> Result<ImportDirectoryResponse, Status> {
        let answered = timeout_at(self.deadline, self.import()).await.unwrap_or_else(|_| {
            let message = "The deadline of the import is over; the messages that were stored stay.";
            Err(Error::new(ErrorKind::DeadlineExceeded, message))
        });
        answered.map(|summary| response(&summary)).map_err(|error| {
            status::log(&error);
            status::grpc_status(&error, Some(&self.head.request_id))
        })
    }

    async fn import(&mut self) -> Result<ImportSummary> {
        // The caller's deadline is that of the stream.
        let no_deadline = HeaderMap::new();
        let api = self.api.clone();
        while self.has_next().await? {
            api.within_time_limit(&no_deadline, self.store_next()).await?;
        }
        let caller = recognise(&self.api, &self.head, &self.headers).await?;
        let import = self.import.take().ok_or_else(|| missing("kind"))?;
        let permit = in_queue(&api.writes, &caller, Load::Other(1)).await?;
        api.within_time_limit(&no_deadline, import.end(permit)).await
    }

    async fn has_next(&mut self) -> Result<bool> {
        tokio::select! {
            biased;
            () = self.goes_away.cancelled() => Err(goes_away()),
            has_next = self.messages.has_next() => has_next,
        }
    }

    async fn store_next(&mut self) -> Result<()> {
        let head = self.api.head(self.headers.clone(), self.head.request_id.clone(), self.head.charge.holder());
        let message = self.messages.next(Method::IMPORT.limit, &head).await?;
        head.is_read();
        let Rows { request, rows, count } = Rows::read(message).map_err(unreadable)?;
        let (caller, import) = match self.import.take() {
            None => self.begin_import(request).await?,
            Some(import) => {
                check_has_rows_alone(&request)?;
                (recognise(&self.api, &self.head, &self.headers).await?, import)
            }
        };
        if count > MAXIMUM_ROWS {
            let message = format!("A message holds at most {MAXIMUM_ROWS} rows; this one holds {count}.");
            return Err(Error::new(ErrorKind::MalformedRequest, message).at_field("rows"));
        }
        let permit = in_queue(&self.api.writes, &caller, Load::Other(count)).await?;
        let import =
            if rows.is_empty() { import } else { import.store(rows.into_iter().map(values).collect(), permit).await? };
        self.import = Some(import);
        Ok(())
    }

    async fn begin_import(&mut self, request: ImportDirectoryRequest) -> Result<(Arc<Caller>, DirectoryImport)> {
        let caller = self.api.caller(&self.head, request.token.clone()).await?;
        caller.require_administration()?;
        self.head.charge.move_to(Holder::Organisation(caller.organisation_id));
        if self.head.known.is_none() {
            let token = format!("Bearer {}", request.token.unwrap_or_default());
            let mut token = HeaderValue::from_str(&token).map_err(Error::internal)?;
            token.set_sensitive(true);
            self.headers.insert(AUTHORIZATION, token);
        }
        let is_rehearsal = request.validate_only.unwrap_or_default();
        let import = self.api.directory.begin_import(sender(&self.head, &caller), request.kind, is_rehearsal)?;
        Ok((caller, import))
    }
}

/// Who calls, by a token that is looked at anew.
async fn recognise(api: &Api, head: &Head, headers: &HeaderMap) -> Result<Arc<Caller>> {
    match api.recognise(headers, Access::Administrators).await? {
        Some((_, caller)) => Ok(caller),
        None => api.caller(head, None).await,
    }
}

fn check_has_rows_alone(request: &ImportDirectoryRequest) -> Result<()> {
    let given = [
        ("token", request.token.is_some()),
        ("kind", request.kind.is_some()),
        ("validate_only", request.validate_only.is_some()),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((field, _)) => {
            let message = format!("The attribute {field} belongs in the first message of the stream alone.");
            Err(Error::new(ErrorKind::MalformedRequest, message).at_field(field))
        }
    }
}

/// A message whose rows are not yet read. No more of them are kept than a message may have; the rest is counted.
#[derive(Default)]
struct Rows {
    request: ImportDirectoryRequest,
    rows: Vec<Bytes>,
    count: usize,
}

impl Rows {
    fn read(mut message: Bytes) -> Result<Self, DecodeError> {
        /// The number of the attribute `rows`.
        const ROWS: u32 = 4;
        let mut read = Self::default();
        while message.has_remaining() {
            let (number, wire_type) = decode_key(&mut message)?;
            if number != ROWS {
                read.request.merge_field(number, wire_type, &mut message, DecodeContext::default())?;
                continue;
            }
            let mut row = Bytes::new();
            encoding::bytes::merge(wire_type, &mut row, &mut message, DecodeContext::default())?;
            read.count += 1;
            if read.count <= MAXIMUM_ROWS {
                read.rows.push(row);
            }
        }
        Ok(read)
    }
}

fn values(row: Bytes) -> Values {
    Some(DirectoryRow::decode(row).ok()?.values.into_iter().collect::<BTreeMap<_, _>>())
}

fn unreadable(cause: DecodeError) -> Error {
    Error::new(ErrorKind::MalformedRequest, format!("The message cannot be read: {cause}."))
}

fn goes_away() -> Error {
    let message = "The server is about to end the connection; send all rows again, those that are in are unchanged.";
    Error::new(ErrorKind::ServiceUnavailable, message)
}

fn response(summary: &ImportSummary) -> ImportDirectoryResponse {
    let count = |rows: u64| Some(u32::try_from(rows).unwrap_or(u32::MAX));
    ImportDirectoryResponse {
        read: count(summary.read),
        inserted: count(summary.inserted),
        updated: count(summary.updated),
        unchanged: count(summary.unchanged),
        rejected: count(summary.rejected),
        rejected_rows_set: summary
            .rejections
            .iter()
            .map(|rejection| RejectedRow {
                index: count(rejection.line - 1),
                error_code: Some(rejection.cause.code.name().to_owned()),
                column: rejection.cause.column.map(str::to_owned),
                error_description: Some(rejection.reason.clone()),
            })
            .collect(),
    }
}
