//! Pages of the rows of a kind.

use super::Directory;
use crate::{
    directory::DirectoryKind,
    error::{Error, Result},
    id::RowKey,
    referral::{
        Sender,
        event::{EntryIdentifier, PartyIdentifier},
        given::{EntryKind, GivenEntry},
        pages::{PageTokens, number_of_results, refuse},
        rules::validate::{Validator, given},
        violation::Violation,
    },
    storage::{
        directory_rows::{self, BusinessUnit, DirectoryRow, RowFilter, Unit},
        to_its_end,
    },
    text::shown_short,
};

/// Which page of which list, as it was sent.
#[derive(Debug, Default)]
pub struct RowListRequest {
    pub filter: RowFilterRequest,
    pub number_of_results: Option<u32>,
    pub page_token: Option<String>,
}

/// A filter as it was sent: what is not given is met by every row. A list has those that its kind has.
#[derive(Debug, Default)]
pub struct RowFilterRequest {
    pub business_unit: Option<EntryIdentifier>,
    pub unit: Option<EntryIdentifier>,
    pub participant: Option<Box<PartyIdentifier>>,
    /// With the kind whose states it is one of.
    pub state: Option<(String, DirectoryKind)>,
}

/// A page of a list.
pub struct ListedRows<R> {
    pub rows: Vec<R>,
    /// The key after which the next page begins; `None` on the last page.
    next_after: Option<RowKey>,
    tokens: PageTokens,
}

/// The digits of a key in a token.
const DIGITS: usize = 16;

impl<R: DirectoryRow> ListedRows<R> {
    /// The token of the next page, where this page is cut to so many rows; `None` on the last page.
    pub fn next_page_token(&self, cut_to: usize) -> Option<String> {
        let cut_after = self.rows.get(..cut_to).filter(|_| cut_to < self.rows.len());
        let after = cut_after.and_then(<[R]>::last).map(R::key).or(self.next_after)?;
        Some(self.tokens.token(&format!("{:016x}", after.0), after.0))
    }
}

impl Directory {
    /// A page of the rows of a kind. `permit` is held until the database has done its part.
    pub async fn list<R: DirectoryRow>(
        &self,
        sender: Sender,
        request: RowListRequest,
        permit: impl Send + 'static,
    ) -> Result<ListedRows<R>> {
        let this = self.clone();
        let find = async move {
            let _permit = permit;
            this.find_page(&sender, request).await
        };
        to_its_end(find, |_| 0).await
    }

    async fn find_page<R: DirectoryRow>(&self, sender: &Sender, request: RowListRequest) -> Result<ListedRows<R>> {
        let organisation_id = sender.organisation_id;
        let mut validator = self.validator();
        let limit = number_of_results(&mut validator, request.number_of_results);
        let RowFilterRequest { business_unit, unit, participant, state } = request.filter;
        let business_unit = entry(&mut validator, EntryKind::BusinessUnit, business_unit);
        let unit = entry(&mut validator, EntryKind::Unit, unit);
        let state = state.and_then(|(state, kind)| check_state(&mut validator, kind, state));
        refuse(validator.violations)?;
        let mut filter = RowFilter { state: state.map(str::to_owned), ..RowFilter::default() };
        if let Some(given) = business_unit {
            filter.business_unit = Some(self.find_entry::<BusinessUnit>(organisation_id, &given).await?.key);
        }
        if let Some(given) = unit {
            filter.unit = Some(self.find_entry::<Unit>(organisation_id, &given).await?.key);
        }
        if let Some(identifier) = participant.filter(|identifier| !identifier.is_empty()) {
            filter.participant = Some(self.find_participant(sender, Some(identifier)).await?);
        }
        let list = serde_json::to_string(&(R::STATEMENTS.table, &filter)).map_err(Error::internal)?;
        let tokens = PageTokens { hasher: self.hasher.clone(), organisation_id, list };
        let key = |digits: &str| i64::from_str_radix(digits, 16).ok();
        let after = RowKey(tokens.read(request.page_token, DIGITS, key)?.unwrap_or_default());
        let (rows, next_after) =
            directory_rows::find_page(self.database.reader(), organisation_id, &filter, after, limit).await?;
        Ok(ListedRows { rows, next_after, tokens })
    }
}

/// An identifier without anything in it filters nothing.
fn entry(validator: &mut Validator, kind: EntryKind, identifier: Option<EntryIdentifier>) -> Option<GivenEntry> {
    validator.entry_at(kind.own_attribute(), kind, identifier.filter(|identifier| !identifier.is_empty()))
}

/// A state of a kind; an empty text is none.
pub(super) fn check_state(validator: &mut Validator, kind: DirectoryKind, state: String) -> Option<&'static str> {
    let state = given(Some(state))?;
    let states = kind.states().unwrap_or_default();
    let known = states.iter().copied().find(|known| *known == state);
    if known.is_none() {
        let description = format!("{} is not one of {}", shown_short(&state), states.join(", "));
        validator.violations.push(Violation::invalid_value("state", &description));
    }
    known
}
