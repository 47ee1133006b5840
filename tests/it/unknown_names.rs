//! What commands say of an organisation or a user that there is not.

use crate::support::{Ended, Setup, Workplace, tests};

tests! {
    Once: who_does_not_exist_is_named_with_what_to_do;
}

async fn who_does_not_exist_is_named_with_what_to_do(_: Setup) {
    let workplace = Workplace::new();
    workplace.add_caller("seven green kettles");
    let refusal = |line: &str| -> Ended {
        let arguments: Vec<&str> = line.split(' ').collect();
        let ended = workplace.run_with_input(&arguments, "nine purple ladles\n");
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""), "{line}: {ended:?}");
        ended
    };
    for line in [
        "user list --organisation none",
        "user add carla --organisation none --role caller",
        "user password carla --organisation none",
        "user role carla --organisation none --role caller",
        "user disable carla --organisation none",
        "user enable carla --organisation none",
        "organisation disable none",
        "organisation enable none",
        "token release --user carla --organisation none",
        "audit list --organisation none",
        "import --organisation none units -",
    ] {
        let sentence = "error: there is no organisation \"none\"; `organisation list` has those that there are, \
                        `organisation add` makes one\n";
        assert_eq!(refusal(line).stderr, sentence, "{line}");
    }
    for line in [
        "user password Carla --organisation acme",
        "user role Carla --organisation acme --role caller",
        "user disable Carla --organisation acme",
        "user enable Carla --organisation acme",
        "token release --user Carla --organisation acme",
    ] {
        let sentence = "error: there is no user \"Carla\" in \"acme\"; `user list` has those that there are, `user add` \
                        makes one\n";
        assert_eq!(refusal(line).stderr, sentence, "{line}");
    }
}
