import http.client
import json
import threading
import unittest

import classifier
import serve

# Malignant from a size of 10 on; the second input is not used.
MODEL = classifier.Classifier(["size", "colour"], ["size"], [10.0], [1.0], [2.0], 0.0)


class Hooks(unittest.TestCase):
    def test_rows(self):
        for body, kind, expected in [
            (b"1,2\n3,4.5\n", "text/csv", [[1, 2], [3, 4.5]]),
            ("1,2\r\n\r\n", "text/csv; charset=utf-8", [[1, 2]]),
            (b'{"instances": [[1, 2], [3, 4.5]]}', "application/json", [[1, 2], [3, 4.5]]),
        ]:
            with self.subTest(body=body):
                self.assertEqual(serve.input_fn(body, kind), expected)

    def test_scores(self):
        low, middle, high = serve.predict_fn([[1.0, 0.0], [10.0, 9.0], [19.0, 0.0]], MODEL)
        self.assertLess(low, 0.01)
        self.assertEqual(middle, 0.5)
        self.assertGreater(high, 0.99)


class Http(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = serve.Server(("127.0.0.1", 0), MODEL)
        threading.Thread(target=cls.server.serve_forever, daemon=True).start()

    @classmethod
    def tearDownClass(cls):
        cls.server.shutdown()
        cls.server.server_close()

    def setUp(self):
        self.connection = http.client.HTTPConnection(*self.server.server_address, timeout=10)
        self.addCleanup(self.connection.close)

    def ask(self, method, path, body=None, **headers):
        self.connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = self.connection.getresponse()
        return response.status, response.read()

    def test_ping(self):
        self.assertEqual(self.ask("GET", "/ping"), (200, b""))

    def test_predictions_over_one_connection(self):
        for body, kind in [("12,0", "text/csv"), ('{"instances": [[12, 0]]}', "application/json")]:
            with self.subTest(kind=kind):
                status, answer = self.ask("POST", "/invocations", body, Content_Type=kind)
                self.assertEqual(status, 200)
                answer = json.loads(answer)
                self.assertEqual(answer["predictions"], [1])
                self.assertAlmostEqual(answer["scores"][0], 0.982, places=3)
                self.assertIsNotNone(self.connection.sock)

    def test_confidence_on_both_sides_of_the_border(self):
        for body, prediction, confidence in [("12,0", 1, 0.982), ("8,0", 0, 0.982), ("10,0", 1, 0.0)]:
            with self.subTest(body=body):
                status, answer = self.ask("POST", "/invocations", body, Content_Type="text/csv")
                self.assertEqual(status, 200, answer)
                answer = json.loads(answer)
                self.assertEqual(answer["predictions"], [prediction])
                self.assertAlmostEqual(answer["confidences"][0], confidence, places=3)

    def test_refusals_give_a_reason(self):
        for body, kind, status, reason in [
            ("", "text/csv", 400, "no row"),
            ("1", "text/csv", 400, "row 1: 1 numbers instead of 2"),
            ("1,2\n1,x", "text/csv", 400, "row 2, column 2"),
            ("1,nan", "text/csv", 400, "must be finite"),
            (b"\xff,1", "text/csv", 400, "not UTF-8"),
            ("{", "application/json", 400, "not JSON"),
            ("[[1, 2]]", "application/json", 400, "instances"),
            ('{"instances": [1, 2]}', "application/json", 400, "instances"),
            ('{"instances": [[1, null]]}', "application/json", 400, "row 1, column 2"),
            ("<a/>", "application/xml", 415, "text/csv or application/json"),
        ]:
            with self.subTest(body=body, kind=kind):
                answer = self.ask("POST", "/invocations", body, Content_Type=kind)
                self.assertEqual(answer[0], status, answer)
                self.assertIn(reason, json.loads(answer[1])["error"])
        # The connection is still good after all of them.
        self.assertEqual(self.ask("GET", "/ping")[0], 200)

    def test_other_paths(self):
        self.assertEqual(self.ask("GET", "/")[0], 404)
        self.assertEqual(self.ask("POST", "/", "1,2", Content_Type="text/csv")[0], 404)

    def test_other_answers_than_json(self):
        status, _ = self.ask("POST", "/invocations", "12,0", Content_Type="text/csv", Accept="text/html")
        self.assertEqual(status, 415)

    def test_length_is_needed_and_limited(self):
        for length, status in [("x", 411), ("-1", 411), (str(serve.MAX_BODY + 1), 413)]:
            with self.subTest(length=length):
                self.assertEqual(self.ask("POST", "/invocations", None, Content_Length=length)[0], status)
                self.connection.close()


if __name__ == "__main__":
    unittest.main()
