// Creates referral events over REST, with nothing but a JDK, 17 or later:
//
//     java examples/java/ReferralEvents.java [ADDRESS]
//
// The JDK has no reader of JSON. What is needed of one is at the end; use a library in its place.

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.concurrent.ThreadLocalRandom;

public class ReferralEvents {
    static final int ATTEMPTS = 6;

    record Answer(Map<?, ?> data, HttpResponse<String> response) {}

    static class Refused extends IOException {
        final String code;

        Refused(Map<?, ?> status) {
            super(status.get("code") + ": " + status.get("message"));
            code = (String) status.get("code");
        }
    }

    static class Client {
        private final HttpClient http = HttpClient.newHttpClient();
        private final String address;
        private final String credentials;
        private String token;
        private Instant validUntil = Instant.MIN;

        Client(String address, String credentials) {
            this.address = address;
            this.credentials = credentials;
        }

        /** Sends a request until it is answered. */
        private Answer send(String path, String body, String... headers) throws Exception {
            var request = HttpRequest.newBuilder(URI.create("http://" + address + "/" + path))
                    .timeout(Duration.ofSeconds(30))
                    .header("content-type", "application/json")
                    .POST(HttpRequest.BodyPublishers.ofString(body));
            if (headers.length > 0) {
                request.headers(headers);
            }
            for (int attempt = 1; ; attempt++) {
                var wait = Math.min(10, 0.2 * Math.pow(2, attempt)) * ThreadLocalRandom.current().nextDouble(0.5, 1.5);
                IOException reason;
                try {
                    var response = http.send(request.build(), HttpResponse.BodyHandlers.ofString());
                    var answer = (Map<?, ?>) new Json(response.body()).value();
                    var status = (Map<?, ?>) answer.get("status");
                    if (status.get("code").equals("OK")) {
                        return new Answer((Map<?, ?>) answer.get("data"), response);
                    }
                    reason = new Refused(status);
                    var after = response.headers().firstValue("retry-after");
                    if (after.isPresent()) {
                        wait = Double.parseDouble(after.get());
                    } else if (response.statusCode() < 500) {
                        attempt = ATTEMPTS;
                    }
                } catch (IOException broken) {
                    // The connection broke, or the time was over: what became of the call is not known.
                    reason = broken;
                }
                if (attempt >= ATTEMPTS) {
                    throw reason;
                }
                System.out.printf("waits %.1f s: %s%n", wait, reason.getMessage());
                Thread.sleep((long) (wait * 1000));
            }
        }

        private void login() throws Exception {
            var data = send("authentication/token", credentials).data();
            token = (String) data.get("token");
            validUntil = Instant.now().plusSeconds(((Number) data.get("expires_in")).longValue() - 60);
        }

        /** Makes a call under a key, or under none. */
        Answer call(String path, String body, String key) throws Exception {
            if (!Instant.now().isBefore(validUntil)) {
                login();
            }
            try {
                return send(path, body, headers(key));
            } catch (Refused refused) {
                if (!refused.code.equals("InvalidTokenException")) {
                    throw refused;
                }
            }
            // It was released, or its user has a new password.
            login();
            return send(path, body, headers(key));
        }

        private String[] headers(String key) {
            var bearer = "Bearer " + token;
            return key == null
                    ? new String[] {"authorization", bearer}
                    : new String[] {"authorization", bearer, "idempotency-key", key};
        }
    }

    static String event(String name, String referred, String referrer) {
        return """
                {"request_unique_identifier": "%s",
                 "performed_by_unit_identifier": {"name": "Admin Unit"},
                 "performed_on": "2016-06-22T15:00:00",
                 "referred_rewards_participant_identifier": {"number": "%s"},
                 "referred_by_rewards_participant_identifier": {"number": "%s"}}
                """.formatted(name, referred, referrer);
    }

    static List<Map<?, ?>> set(Answer answer, String name) {
        var objects = new ArrayList<Map<?, ?>>();
        ((List<?>) answer.data().get(name)).forEach(object -> objects.add((Map<?, ?>) object));
        return objects;
    }

    public static void main(String[] arguments) throws Exception {
        var address = arguments.length > 0 ? arguments[0] : "127.0.0.1:50051";
        var client = new Client(address, """
                {"organisation": "demo", "username": "demo", "password": "demo"}""");
        var events = String.join(",",
                event("125", "RP0000000017", "RP0000000010"),
                event("124", "RP0000000014", "RP0000000012"),
                event("123", "RP0000000004", "RP0000000010"));
        // Without fields_set, REST answers the documented fields alone.
        var bulk = """
                {"fields_set": "request_unique_identifier,number,error_code,retryable",
                 "referral_customer_events_set": [%s]}""".formatted(events);
        // One key a call, the same however often it is sent.
        var key = UUID.randomUUID().toString();
        var answer = client.call("customer_events/bulk/referrals/create", bulk, key);
        for (var event : set(answer, "processed_customer_events_set")) {
            System.out.println(event.get("request_unique_identifier") + ": created as number " + event.get("number"));
        }
        for (var event : set(answer, "unprocessed_customer_events_set")) {
            var again = event.get("retryable").equals(true) ? "may be sent again" : "is not to be sent again";
            System.out.println(event.get("request_unique_identifier") + ": " + event.get("error_code") + ", " + again);
        }
        var repeated = client.call("customer_events/bulk/referrals/create", bulk, key).response();
        var replayed = repeated.headers().firstValue("idempotency-replayed").orElse("false");
        System.out.println("sent again: replayed " + replayed);

        client.call("authentication/token/release", "{}", null);
        // The next call takes a new token.
        int listed = 0;
        int pages = 0;
        Object pageToken = "";
        while (pageToken != null) {
            var request = "{\"number_of_results\": 4, \"fields_set\": \"number\", \"page_token\": \"" + pageToken + "\"}";
            var page = client.call("customer_events/referrals/list", request, null);
            listed += set(page, "customer_events_set").size();
            pages++;
            pageToken = page.data().get("next_page_token");
        }
        System.out.println("listed: " + listed + " events in " + pages + " pages");
    }

    /** Reads JSON that is known to be valid, as maps, lists, texts, numbers, booleans and null. */
    static class Json {
        private final String text;
        private int at;

        Json(String text) {
            this.text = text;
        }

        Object value() {
            switch (peek()) {
                case '{':
                    var map = new LinkedHashMap<String, Object>();
                    for (at++; peek() != '}'; skip(',')) {
                        var name = (String) value();
                        skip(':');
                        map.put(name, value());
                    }
                    at++;
                    return map;
                case '[':
                    var list = new ArrayList<>();
                    for (at++; peek() != ']'; skip(',')) {
                        list.add(value());
                    }
                    at++;
                    return list;
                case '"':
                    return string();
                default:
                    int start = at;
                    while (at < text.length() && ",]} \n\r\t".indexOf(text.charAt(at)) < 0) {
                        at++;
                    }
                    var word = text.substring(start, at);
                    return switch (word) {
                        case "true" -> true;
                        case "false" -> false;
                        case "null" -> null;
                        default -> Double.valueOf(word);
                    };
            }
        }

        private char peek() {
            while (Character.isWhitespace(text.charAt(at))) {
                at++;
            }
            return text.charAt(at);
        }

        private void skip(char separator) {
            if (peek() == separator) {
                at++;
            }
        }

        private String string() {
            var read = new StringBuilder();
            for (at++; text.charAt(at) != '"'; at++) {
                if (text.charAt(at) != '\\') {
                    read.append(text.charAt(at));
                    continue;
                }
                at++;
                switch (text.charAt(at)) {
                    case 'b' -> read.append('\b');
                    case 'f' -> read.append('\f');
                    case 'n' -> read.append('\n');
                    case 'r' -> read.append('\r');
                    case 't' -> read.append('\t');
                    case 'u' -> {
                        read.append((char) Integer.parseInt(text.substring(at + 1, at + 5), 16));
                        at += 4;
                    }
                    default -> read.append(text.charAt(at));
                }
            }
            at++;
            return read.toString();
        }
    }
}
