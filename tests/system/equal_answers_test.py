"""The same work gives the same rows, however it is spread over processes and batches; and what a row says
about bytes is what a reader works out from the model's shape."""

import json

import numpy as np

from support import TABLES, SystemTest, call, main, make_model, pair_table, rows, tables

LAYERS, KV_HEADS, HEAD_DIM, HIDDEN = 4, 2, 8, 32
# How a message is put together depends on what else is in its batch; nothing else in a row does.
BATCHING = ("header_bytes",)


class EqualAnswers(SystemTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        make_model(cls.folder / "models/org/other", "tiny-llama3-tied")  # as many layers and heads, other weights
        cls.all = cls().sweep("all", pairs=pair_table("org/other", "org/tiny", name="two"))
        outcome = cls.all.run("one")
        assert outcome.code == 0, outcome
        cls.reference = rows(cls.all.results("one"))

    def assert_same_rows(self, output, leave_out=BATCHING):
        wanted = [{k: v for k, v in row.items() if k not in leave_out} for row in self.reference]
        found = rows(self.all.results(output), leave_out)
        for one, other in zip(wanted, found):
            self.assertEqual(one, other)
        self.assertEqual(len(wanted), len(found))

    def test_answers_tell_contexts_and_methods_apart(self):
        """Else equal answers would show nothing."""
        layers = tables(self.all.results("one"))["layers"]
        sent = layers[layers["selected"] == 1].groupby("method")["layer"].apply(tuple)
        answers = {}
        for row in self.reference:
            answers.setdefault(row["method"], []).append(row["answer"])
        # Baseline and skyline of either end, ac, nld, cipher, the two studies. Not kvcomm_s: where nothing precedes them, a shift
        # of all the receiver's tokens changes no distance, and rotary positions are relative.
        others = 9
        self.assertEqual(len({tuple(of_method) for of_method in answers.values()}), others + len(set(sent)))
        for method, of_method in answers.items():
            self.assertGreater(len(set(of_method)), 5, method)

    def test_worlds_of_two_and_four(self):
        for ranks in (2, 4):
            with self.subTest(ranks=ranks):
                self.check(self.all.run(f"world{ranks}", ranks))
                self.assert_same_rows(f"world{ranks}", leave_out=())

    def test_batches(self):
        self.check(self.all.run("batch1", sets=["run.batch=1"]))
        self.assert_same_rows("batch1")
        self.check(self.all.run("batch2", sets=["run.batch=2"]))
        self.assert_same_rows("batch2")

    def test_passes_and_prefixes(self):
        self.check(self.all.run("passes", ranks=2, sets=["run.prefill_tokens=24"]))
        self.assert_same_rows("passes", leave_out=())
        self.check(self.all.run("whole", sets=["run.reuse_prefixes=false"]))
        self.assert_same_rows("whole", leave_out=())

    def test_passes_of_few_tokens_in_both_fidelities(self):
        """Long vectors amplify last bits, and the release's importance looks at what comes behind a token."""
        for fidelity in ("paper", "release"):
            sets = [f"run.fidelity={fidelity}", "method.cipher.phase1_tokens=24", "run.reuse_prefixes=false"]
            self.check(self.all.run(f"{fidelity}-whole", sets=sets))
            self.check(self.all.run(f"{fidelity}-passes", sets=[*sets, "run.prefill_tokens=7", "run.batch=3"]))
            whole, passes = (self.all.results(f"{fidelity}-{name}") for name in ("whole", "passes"))
            self.assertEqual(rows(whole, BATCHING), rows(passes, BATCHING))
            importance, same = (tables(file)["layers"]["importance"] for file in (whole, passes))
            np.testing.assert_allclose(importance, same, atol=1e-6)

    def test_ends_on_different_nodes(self):
        self.check(self.all.run("spread", 4, sets=["run.placement=spread"]))
        self.assert_same_rows("spread", leave_out=())
        ranks = tables(self.all.results("spread"))["ranks"]
        self.assertEqual(sorted(zip(ranks["rank"], ranks["lane"], ranks["role"])),
                         [(0, 0, "sender"), (1, 1, "sender"), (2, 0, "receiver"), (3, 1, "receiver")])

    def test_each_rank_is_a_lane_of_its_own(self):
        self.check(self.all.run("colocate", 3, sets=["run.placement=colocate"]))
        self.assert_same_rows("colocate", leave_out=())
        ranks = tables(self.all.results("colocate"))["ranks"]
        self.assertEqual([(role, lane) for role, lane in zip(ranks["role"], ranks["lane"])],
                         [("both", 0), ("both", 1), ("both", 2)])
        refused = self.all.run("colocate", 2, sets=["run.placement=colocate", "run.transport=mpi"])
        self.check(refused, 2)
        self.assertIn("each rank is both ends", refused.log)

    def test_threads_and_limits_leave_keys_alone(self):
        """A longer run goes on from a shorter one, whatever else it is given."""
        self.check(self.all.run("grows", sets=["run.limit=4"]))
        self.check(self.all.run("grows", ranks=2, sets=["run.threads=2", "run.batch=3"]))
        self.assert_same_rows("grows")
        self.assertEqual(self.all.samples_stored("grows"), len(self.reference))

    def check_bytes(self, path, element):
        frames = tables(path)
        samples, cells, layers = frames["samples"], frames["cells"], frames["layers"]
        self.assertEqual((samples["layers_sent"] > 0).sum(), 90)
        formula = 2 * samples["layers_sent"] * samples["context_tokens"] * KV_HEADS * HEAD_DIM * element
        self.assertTrue((samples["kv_bytes"] == formula).all())
        kinds = samples.set_index(samples["method"].str.partition("(")[0])
        self.assertEqual(set(kinds.loc["ac", "hidden_bytes"]), {HIDDEN * element})
        self.assertTrue(kinds.loc["nld", "token_bytes"].between(4, 6 * 4).all())
        self.assertTrue(kinds.loc["cipher", "vector_bytes"].between(HIDDEN * element, 4 * HIDDEN * element).all())
        hidden = samples["method"].str.startswith("hidden_prepend")
        self.assertTrue((samples["hidden_bytes"] == HIDDEN * element * samples["context_tokens"])[hidden].all())
        parts = samples[["kv_bytes", "token_bytes", "vector_bytes", "hidden_bytes"]]
        self.assertTrue((samples["payload_bytes"] == parts.sum(axis=1)).all())
        talks = ~samples["method"].str.startswith(("baseline", "skyline", "token_study"))
        self.assertTrue(((parts > 0).sum(axis=1) == talks).all(), "one kind, where anything goes over")
        self.assertTrue(((samples["header_bytes"] > 0) == talks).all())
        self.assertTrue(((samples["context_tokens"] > 0) == talks).all())
        self.assertEqual(set(samples[samples["sender_decode_s"] > 0]["method"].str.partition("(")[0]), {"nld", "cipher"})
        for name in ("payload_bytes", "kv_bytes", "header_bytes", "context_tokens", "output_tokens"):
            sums = samples.groupby("cell")[name].sum().reindex(range(len(cells)), fill_value=0)
            self.assertEqual(list(cells[name]), list(sums), name)
        by_layer = layers.groupby("cell")["kv_bytes"].sum().reindex(range(len(cells)), fill_value=0)
        self.assertEqual(list(cells["kv_bytes"]), list(by_layer))
        self.assertTrue(((layers["kv_bytes"] > 0) == (layers["selected"] == 1)).all())
        sent = layers.groupby("cell")["selected"].sum().reindex(range(len(cells)), fill_value=0)
        self.assertTrue((samples["layers_sent"] == sent[samples["cell"]].to_numpy()).all())
        calibrated = cells["calibration_key"] != ""
        self.assertTrue(((cells["calibration_bytes"] > 0) == calibrated).all())
        context = samples[samples["layers_sent"] > 0].groupby("sample")["context_tokens"].first()
        for count, method in ((1, "kvcomm(ratio=0.5)"), (3, cells["method"][7])):
            whole = 2 * LAYERS * int(context[:count].sum()) * KV_HEADS * HEAD_DIM * element
            self.assertEqual(list(cells[cells["method"] == method]["calibration_bytes"]), [whole])
        self.assertEqual(len(frames["failures"]), 0)

    def test_bytes_are_the_closed_form(self):
        self.check_bytes(self.all.results("one"), element=4)
        self.check(self.all.run("half", ranks=2, sets=["run.dtype=bfloat16"]))
        self.check_bytes(self.all.results("half"), element=2)

    def test_two_ranks_are_two_processes(self):
        self.check(self.all.run("ranks", 2))
        ranks = tables(self.all.results("ranks"))["ranks"]
        self.assertEqual(list(ranks["rank"]), [0, 1])
        self.assertEqual(list(ranks["role"]), ["sender", "receiver"])
        self.assertEqual(list(ranks["transport"]), ["mpi", "mpi"])
        self.assertEqual(len(set(ranks["pid"])), 2)
        self.assertTrue((ranks["peak_host_bytes"] > 20e6).all())  # libtorch alone has more
        self.assertEqual(list(ranks["peak_device_bytes"]), [0, 0])
        self.assertTrue((ranks["sender_prefill_s"] > 0).iloc[0])
        self.assertTrue((ranks["decode_s"] > 0).all())  # baseline(model=sender) is answered by the sender

    def test_tables_are_data_frames(self):
        frames = tables(self.all.results("one"))
        self.assertEqual({name: len(frames[name]) for name in TABLES},
                         {"samples": 180, "senders": 0, "scores": 0, "questions": 10, "cells": 18, "layers": 36,
                          "studies": 0, "recalibrations": 0, "ranks": 1, "failures": 0, "runs": 1})
        self.assertEqual(list(frames["cells"]["n"]), [10] * 18)
        self.assertEqual(list(frames["cells"]["n_failed"]), [0] * 18)
        self.assertTrue(np.isfinite(frames["cells"]["score"]).all())

    def test_merge_writes_the_same_bytes(self):
        path = self.all.results("one")
        before = path.read_bytes()
        path.unlink()
        outcome = self.check(call(["merge", self.all.folder / "one"]))
        self.assertEqual(path.read_bytes(), before)
        self.assertIn("kvcomm(ratio=0.5)", outcome.out)

    def test_pairs_one_by_one_or_together(self):
        pairs = pair_table("org/tiny", name="first") + pair_table("org/other", "org/tiny", name="second", alpha=0.0)
        sweep = self.sweep("pairs", pairs=pairs)
        self.check(sweep.run("together", ranks=4))
        self.check(sweep.run("apart", more=["--pair", "second"]))
        self.assertEqual(set(tables(sweep.results("apart"))["samples"]["pair"]), {"second"})
        self.check(sweep.run("apart", more=["--pair", "0"]))
        self.assertEqual(rows(sweep.results("apart"), ("cell",)), rows(sweep.results("together"), ("cell",)))
        second = [row for row in rows(sweep.results("together")) if row["pair"] == "second"]
        plain = [row for row in self.reference if row["method"] == "skyline"]  # as pair "two" here
        self.assertEqual([row["answer"] for row in second if row["method"] == "skyline"],
                         [row["answer"] for row in plain])
        keys = [json.loads(text) for text in tables(sweep.results("together"))["cells"]["key_json"]]
        self.assertEqual({key["parameters"].get("alpha") for key in keys if key["sender"] != key["receiver"]},
                         {None, 0.0})


if __name__ == "__main__":
    main()
