//! The tree of referrals that a party stands in: up to its root, and down so many levels.
//!
//! A page goes on where the one before it ended, which its token tells: upwards by the account that it came to, downwards
//! by the way from the party to the last one that was told, an event a level.

use std::{collections::VecDeque, fmt};

use sea_orm::ConnectionTrait;

use crate::{
    error::{Error, Result},
    id::{AccountKey, EventNumber, OrganisationId},
    referral::{
        codes::Sender,
        event::PartyIdentifiers,
        given::PartyKind,
        look_back::Named,
        pages::{PageTokens, number_of_results, refuse},
        referral_events::ReferralEvents,
        rules::validate::{Validator, given},
        violation::Violation,
    },
    storage::{
        directory_names::find_party_names,
        referral_tree::{self, Referral},
        to_its_end,
    },
};

/// Which page of which tree, as it was sent.
#[derive(Debug, Default)]
pub struct TreeRequest {
    pub party: PartyIdentifiers,
    pub direction: Option<String>,
    pub levels: Option<u32>,
    pub number_of_results: Option<u32>,
    pub page_token: Option<String>,
}

/// A page of a tree.
pub struct ReferralTree {
    pub nodes: Vec<TreeNode>,
    /// Absent on the last page.
    pub next_page_token: Option<String>,
}

/// A party in a tree.
pub struct TreeNode {
    pub level: u32,
    /// The event between it and the party one level nearer.
    pub event: EventNumber,
    pub account: Option<Named>,
    pub participant: Option<Named>,
    /// Whether it has referred somebody; `None` where that was not asked.
    pub has_referred: Option<bool>,
}

/// A party before its names are looked up.
struct Node {
    level: u32,
    event: EventNumber,
    account_key: AccountKey,
    has_referred: Option<bool>,
}

/// The most levels that a tree is told down.
const MAXIMUM_LEVELS: usize = 10;
/// The most levels up, for where circles are allowed a way need not end.
const MAXIMUM_HEIGHT: u32 = 100_000;
/// The most statements that a page down asks: one for each party with referrals, and more where there are many.
const MAXIMUM_STATEMENTS: usize = 100;

impl ReferralEvents {
    /// A page of a party's tree. `permit` is held until the database has done its part.
    pub async fn tree(
        &self,
        sender: Sender,
        request: TreeRequest,
        permit: impl Send + 'static,
    ) -> Result<ReferralTree> {
        let this = self.clone();
        let find = async move {
            let _permit = permit;
            this.find_tree(&sender, request).await
        };
        to_its_end(find, |_| 0).await
    }

    async fn find_tree(&self, sender: &Sender, request: TreeRequest) -> Result<ReferralTree> {
        let organisation_id = sender.organisation_id;
        let mut validator = Validator::new(self.clock.now(), self.settings.release);
        let limit = number_of_results(&mut validator, request.number_of_results);
        let is_upwards = is_upwards(&mut validator, given(request.direction).as_deref());
        let levels = levels(&mut validator, request.levels);
        refuse(validator.violations)?;
        let kinds = [PartyKind::RewardsParticipant, PartyKind::AccountsReceivable];
        let root = self.find_party(sender, &kinds, request.party).await?;
        let list = match is_upwards {
            true => serde_json::to_string(&("tree up", root)),
            false => serde_json::to_string(&("tree down", root, levels)),
        };
        let list = list.map_err(Error::internal)?;
        let tokens = PageTokens { hasher: self.hasher.clone(), organisation_id, list };
        let place = tokens.read(request.page_token, Place::DIGITS, Place::read)?.unwrap_or(Place::NONE);
        let transaction = self.database.begin_read().await?;
        let (nodes, next) = match is_upwards {
            true => up(&transaction, organisation_id, root, place, limit).await?,
            false => down(&transaction, organisation_id, root, levels, place, limit).await?,
        };
        let keys: Vec<AccountKey> = nodes.iter().map(|node| node.account_key).collect();
        let names = find_party_names(&transaction, organisation_id, &keys).await?;
        transaction.commit().await?;
        let named = |node: Node| TreeNode {
            level: node.level,
            event: node.event,
            account: names.accounts.get(&node.account_key).map(Named::from),
            participant: names.participants.get(&node.account_key).map(Named::from),
            has_referred: node.has_referred,
        };
        Ok(ReferralTree {
            nodes: nodes.into_iter().map(named).collect(),
            next_page_token: next.map(|place| tokens.token(&place.to_string(), place)),
        })
    }
}

fn is_upwards(validator: &mut Validator, direction: Option<&str>) -> bool {
    if direction.is_some_and(|direction| !["UP", "DOWN"].contains(&direction)) {
        validator.violations.push(Violation::invalid_value("direction", "The direction is neither UP nor DOWN"));
    }
    direction == Some("UP")
}

fn levels(validator: &mut Validator, given: Option<u32>) -> usize {
    let levels = given.unwrap_or(1) as usize;
    if !(1..=MAXIMUM_LEVELS).contains(&levels) {
        let description = format!("The number is not 1 to {MAXIMUM_LEVELS}");
        validator.violations.push(Violation::invalid_value("levels", &description));
    }
    levels
}

/// Where a page begins: so many numbers, after which none is given any more.
#[derive(Clone, Copy)]
struct Place([Option<i64>; MAXIMUM_LEVELS]);

impl Place {
    const NONE: Self = Self([None; MAXIMUM_LEVELS]);
    const DIGITS_OF_ONE: usize = 16;
    const DIGITS: usize = Self::DIGITS_OF_ONE * MAXIMUM_LEVELS;

    fn of(numbers: impl IntoIterator<Item = i64>) -> Self {
        let mut place = Self::NONE;
        for (to, number) in place.0.iter_mut().zip(numbers) {
            *to = Some(number);
        }
        place
    }

    fn numbers(&self) -> impl Iterator<Item = i64> {
        self.0.iter().map_while(|number| *number)
    }

    fn read(digits: &str) -> Option<Self> {
        let mut place = Self::NONE;
        for (to, digits) in place.0.iter_mut().zip(digits.as_bytes().chunks(Self::DIGITS_OF_ONE)) {
            let number = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
            *to = i64::try_from(number).ok();
        }
        Some(place)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|number| write!(f, "{:016x}", number.map_or(u64::MAX, i64::unsigned_abs)))
    }
}

/// The parties above one, from where the page begins: a level, and the account that is there.
async fn up<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    root: AccountKey,
    place: Place,
    limit: usize,
) -> Result<(Vec<Node>, Option<Place>)> {
    let mut numbers = place.numbers();
    let begun_at = numbers.next().and_then(|level| u32::try_from(level).ok()).unwrap_or_default();
    let from = numbers.next().map_or(root, AccountKey);
    let limit = limit.min(MAXIMUM_HEIGHT.saturating_sub(begun_at) as usize);
    // One more than wanted tells whether there is a next page.
    let mut way = referral_tree::find_way_up(connection, organisation_id, from, limit + 1).await?;
    // In a circle it comes back to where it began.
    let end = way.iter().position(|referral| referral.account_key == root);
    way.truncate(end.unwrap_or(way.len()));
    let has_more = way.len() > limit;
    way.truncate(limit);
    let nodes: Vec<Node> = (begun_at + 1..)
        .zip(way)
        .map(|(level, Referral { number, account_key, .. })| Node {
            level,
            event: number,
            account_key,
            has_referred: None,
        })
        .collect();
    let last = nodes.last().filter(|last| has_more && last.level < MAXIMUM_HEIGHT);
    let next = last.map(|last| Place::of([last.level.into(), last.account_key.0]));
    Ok((nodes, next))
}

/// A party whose referrals are told.
struct Branch {
    account_key: AccountKey,
    /// The number of the last event that was looked at.
    after: EventNumber,
    /// The events after it that are read already.
    ahead: VecDeque<Referral>,
    has_more: bool,
}

impl Branch {
    fn new(account_key: AccountKey, after: EventNumber) -> Self {
        Self { account_key, after, ahead: VecDeque::new(), has_more: true }
    }

    fn is_at_end(&self) -> bool {
        self.ahead.is_empty() && !self.has_more
    }
}

/// The parties below one, each followed by its own, from where the page begins.
async fn down<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    root: AccountKey,
    levels: usize,
    place: Place,
    limit: usize,
) -> Result<(Vec<Node>, Option<Place>)> {
    let mut way = find_branches(connection, organisation_id, root, place).await?;
    let mut nodes = Vec::new();
    let mut statements = 0;
    while nodes.len() < limit {
        let level = way.len();
        let Some(branch) = way.last_mut() else { break };
        if let Some(Referral { number, account_key, is_in_force, has_referred }) = branch.ahead.pop_front() {
            branch.after = number;
            if is_in_force {
                let has_referred = has_referred.unwrap_or_default();
                let node = Node { level: level as u32, event: number, account_key, has_referred: Some(has_referred) };
                nodes.push(node);
                if has_referred && level < levels {
                    way.push(Branch::new(account_key, EventNumber(0)));
                }
            }
        } else if !branch.has_more {
            way.pop();
        } else if statements == MAXIMUM_STATEMENTS {
            break;
        } else {
            statements += 1;
            // One more than there is room for tells whether there is a next page.
            let read = limit - nodes.len() + 1;
            let (account_key, after) = (branch.account_key, branch.after);
            let found = referral_tree::find_referrals(connection, organisation_id, account_key, after, read).await?;
            branch.has_more = found.len() == read;
            branch.ahead = found.into();
        }
    }
    while way.last().is_some_and(Branch::is_at_end) {
        way.pop();
    }
    let next = (!way.is_empty()).then(|| Place::of(way.iter().map(|branch| branch.after.0)));
    Ok((nodes, next))
}

/// The party and those on the way down to where the page begins. One whose event is gone ends it.
async fn find_branches<C: ConnectionTrait>(
    connection: &C,
    organisation_id: OrganisationId,
    root: AccountKey,
    place: Place,
) -> Result<Vec<Branch>> {
    let numbers: Vec<EventNumber> = place.numbers().map(EventNumber).collect();
    let Some((first, further)) = numbers.split_first() else { return Ok(vec![Branch::new(root, EventNumber(0))]) };
    let mut way = vec![Branch::new(root, *first)];
    if further.is_empty() {
        return Ok(way);
    }
    let found = referral_tree::find_referred(connection, organisation_id, &numbers[..further.len()]).await?;
    for (event, after) in numbers.iter().zip(further) {
        let Some(referral) = found.iter().find(|referral| referral.number == *event) else { break };
        way.push(Branch::new(referral.account_key, *after));
    }
    Ok(way)
}
