"""What methods cost: FLOPs, tokens, memory, the time to the first token, in rows, ranks and plans; studies, tuning."""

import json
import re

from support import SystemTest, call, dataset_table, demo_records, main, method_table, pair_table, tables
from tiny import make_model

ALONE = {
    "baseline": {}, "skyline": {}, "kvcomm": {"ratio": 0.5}, "kvcomm_s": {"layers": [1, 2]},
    "random": {"ratio": 0.5, "seed": 1}, "contiguous": {"from_": 0, "to": 1}, "ac": {"k": 2, "j": 1},
    "nld": {"phase1_tokens": 6}, "cipher": {"phase1_tokens": 4}, "hidden_prepend": {"k": 1, "j": 2},
    "token_study": {"layer": 1, "answer": "text"},
}
ENDS = ("sender_flops", "receiver_flops")


class Costs(SystemTest):
    def found(self, sweep, output, **options):
        self.check(sweep.run(output, **options))
        return tables(sweep.results(output))

    def expect_ranks_ran(self, frames):
        """What the ranks ran is what the rows' closed forms say, and took as long as these do."""
        ranks, rows = frames["ranks"].sum(numeric_only=True), frames["samples"].sum(numeric_only=True)
        self.assertAlmostEqual(ranks["sender_prefill_s"], rows["sender_prefill_s"], delta=1e-6)
        self.assertAlmostEqual(ranks["receiver_prefill_s"], rows["receiver_prefill_s"], delta=1e-6)
        self.assertAlmostEqual(ranks["decode_s"], rows["decode_s"] + rows["sender_decode_s"], delta=1e-6)
        for end in ENDS:
            ran, said = frames["ranks"][end].sum(), frames["samples"][end].sum()
            self.assertAlmostEqual(ran, said, delta=1e-9 * said, msg=end)

    def test_a_method_alone_runs_what_its_rows_say(self):
        for name, parameters in ALONE.items():
            for fidelity in ("paper", "release"):
                with self.subTest(method=name, fidelity=fidelity):
                    sweep = self.sweep(f"{name}-{fidelity}", method_table(name, **parameters),
                                       run=f'fidelity = "{fidelity}"\nreuse_prefixes = false\nprefill_tokens = 64')
                    frames = self.found(sweep, f"{name}-{fidelity}-out")
                    self.expect_ranks_ran(frames)
                    self.assertGreater(frames["samples"]["receiver_flops"].min(), 0)
                    self.assertEqual(frames["ranks"]["calibration_flops"].sum() > 0, name == "kvcomm")

    def test_each_end_counts_its_own(self):
        sweep = self.sweep("ends", method_table("kvcomm", layers=[1]), run="reuse_prefixes = false")
        frames = self.found(sweep, "ends-out", ranks=2)
        self.expect_ranks_ran(frames)
        ranks = frames["ranks"].set_index("role")
        self.assertEqual(ranks["sender_flops"]["receiver"], 0)
        self.assertEqual(ranks["receiver_flops"]["sender"], 0)

    def test_rows_do_not_depend_on_what_a_run_shares(self):
        methods = method_table("kvcomm", ratio=[0.25, 0.5, 1.0]) + method_table("nld", phase1_tokens=6)
        frames = self.found(self.sweep("shared", methods), "shared-out")
        ran, said = frames["ranks"]["sender_flops"].sum(), frames["samples"]["sender_flops"].sum()
        self.assertLess(ran, 0.8 * said)  # contexts are read once
        by_method = frames["samples"].groupby("method")
        flops = by_method["sender_flops"].sum()
        self.assertEqual(flops["kvcomm(ratio=0.25)"], flops["kvcomm(ratio=1)"])
        attention = by_method["attention_flops"].sum()
        self.assertLess(attention["kvcomm(ratio=0.25)"], attention["kvcomm(ratio=1)"])

    def test_tokens_in_and_out_of_each_end(self):
        methods = method_table("nld", phase1_tokens=6) + method_table("baseline") + method_table("kvcomm", layers=[1])
        frames = self.found(self.sweep("tokens", methods), "tokens-out")
        by_method = {name: rows for name, rows in frames["samples"].groupby("method")}
        nld, kvcomm = by_method["nld(phase1_tokens=6)"], by_method["kvcomm(layers=[1])"]
        self.assertTrue((4 * nld["sender_output_tokens"] == nld["token_bytes"]).all())
        first = nld["receiver_input_tokens"] - nld["prompt_tokens"]
        self.assertEqual(list(first), list(kvcomm["prompt_tokens"]))
        self.assertTrue(((nld["receiver_output_tokens"] - nld["output_tokens"]).between(1, 6)).all())
        for name in ("baseline", "kvcomm(layers=[1])"):
            rows = by_method[name]
            self.assertEqual(list(rows["receiver_input_tokens"]), list(rows["prompt_tokens"]))
            self.assertEqual(rows["sender_output_tokens"].sum(), 0)

    def test_the_first_token_comes_before_the_last_and_after_the_senders_part(self):
        methods = "".join(method_table(name, **parameters) for name, parameters in ALONE.items())
        samples = self.found(self.sweep("first", methods), "first-out")["samples"]
        senders = samples["sender_prefill_s"] + samples["sender_decode_s"] + samples["wire_exposed_s"]
        everything = senders + samples["receiver_prefill_s"] + samples["decode_s"]
        self.assertTrue((samples["ttft_s"] > senders).all())
        self.assertTrue((samples["ttft_s"] <= everything + 1e-12).all())

    def test_joules_are_told_or_their_absence_is_once(self):
        sweep = self.sweep("joules", method_table("kvcomm", layers=[1]))
        log = self.check(sweep.run("joules-out", ranks=2)).log
        samples = tables(sweep.results("joules-out"))["samples"]
        told = samples["receiver_joules"].notna().all()
        self.assertEqual(log.count("No joules are measured"), 0 if told else 1, log)

    def test_memory_is_told_by_what_it_is_for(self):
        ranks = self.found(self.sweep("memory", method_table("kvcomm", layers=[1])), "memory-out")["ranks"]
        rank = ranks.iloc[0]
        weights = 2 * (self.folder / "models/org/tiny/model.safetensors").stat().st_size  # stored as bfloat16
        self.assertLess(abs(rank["peak_weights_bytes"] / weights - 1), 0.2)
        self.assertGreater(rank["peak_kv_bytes"], 0)
        self.assertGreater(rank["peak_activation_bytes"], 0)
        known = rank["peak_weights_bytes"] + rank["peak_kv_bytes"] + rank["peak_activation_bytes"]
        grown = int(rank["peak_host_bytes"]) - int(rank["start_host_bytes"])
        self.assertLess(abs(int(known) - grown), 64e6)

    def test_what_failed_costs_nothing(self):
        sweep = self.sweep("failing", method_table("kvcomm", layers=[1]), run="max_input_tokens = 40")
        self.check(sweep.run("failing-out"), 3)
        frames = tables(sweep.results("failing-out"))
        failed = frames["samples"][frames["samples"]["failed"] == 1]
        self.assertGreater(len(failed), 0)
        self.assertEqual(failed["receiver_flops"].abs().sum(), 0)
        self.assertEqual(frames["cells"]["receiver_flops"].notna().all(), True)

    # ---- plans

    def test_a_plan_foretells_flops_and_after_some_rows_hours(self):
        methods = method_table("skyline") + method_table("kvcomm", layers=[1]) + method_table("nld", phase1_tokens=6)
        sweep = self.sweep("plan", methods)
        plan = lambda *more: self.check(call([*sweep.arguments("plan", "plan-out"), *more])).out  # noqa: E731
        out = plan("--hash")
        self.assertIn("Hours are not known", out)
        self.assertIn("hours on one lane", plan("--hours"))
        units = {"FLOP": 1, "kFLOP": 1e3, "MFLOP": 1e6, "GFLOP": 1e9}
        told = [float(number) * units[unit] for number, unit in re.findall(r"(?:up to|about) (\S+) (\w*FLOP)", out)]
        frames = self.found(sweep, "plan-out", more=["--limit", "4"])
        self.assertRegex(plan(), r"hours on one lane for what is not stored.*as 12 stored rows")
        cells = self.found(sweep, "plan-out")["cells"]
        for most, cell in zip(told, cells.itertuples()):
            ran = cell.sender_flops + cell.receiver_flops
            self.assertLess(ran, most * (1.1 if cell.method.startswith("nld") else 1.01))
            self.assertGreater(ran, most / 4)
        self.assertEqual(len(frames["samples"]), 12)
        self.assertIn("Nothing is left to do", plan())

    # ---- studies

    def test_a_model_that_is_changed_is_not_the_receiver_alone(self):
        methods = (method_table("token_study", layer=0, token="none", answer="text") +
                   method_table("kvcomm", layers=[1]) + method_table("kvcomm", layers=[1], control="zero") +
                   method_table("baseline"))
        sweep = self.sweep("alone", methods)
        self.check(sweep.run("alone-out"))
        alone = {line["method"]: line["receiver_alone"] for line in sweep.journal_lines("alone-out")
                 if line["t"] == "cell"}
        self.assertEqual([method for method, is_alone in alone.items() if is_alone], ["baseline"])


    def test_studies_are_cells_by_their_axes(self):
        methods = (method_table("hidden_prepend", every=2) + method_table("contiguous", sweep_width=3) +
                   method_table("kvcomm", layer_counts="all") + method_table("kvcomm", ratio=0.25, first_rank=[0, 3]) +
                   method_table("token_study", every=2, mode=["retain", "remove"], answer="text"))
        frames = self.found(self.sweep("studies", methods, demo_records(3)), "studies-out")
        studies = {series: rows for series, rows in frames["studies"].groupby("series")}
        maps = studies["hidden_prepend"]
        self.assertEqual({(row.x_name, row.y_name) for row in maps.itertuples()}, {("j", "k")})
        self.assertEqual(sorted(zip(maps.x, maps.y)), [(0, 0), (0, 2), (2, 0), (2, 2)])
        self.assertEqual(sorted(zip(studies["contiguous"].y, studies["contiguous"].x)), [(0, 2), (1, 3)])
        self.assertEqual(sorted(studies["kvcomm"].x), [1, 2, 3, 4])
        self.assertEqual(sorted(studies["kvcomm(ratio=0.25)"].x), [0, 3])
        self.assertEqual(sorted(studies["token_study(mode=remove, answer=text)"].x), [0, 2])
        self.assertTrue((frames["studies"]["n"] == 3).all())
        layers = frames["layers"]
        passed = layers[(layers["method"] == "kvcomm(ratio=0.25, first_rank=3)") & (layers["selected"] == 1)]
        self.assertEqual(list(passed["rank"]), [3])

    def test_studies_that_cannot_be_are_refused_with_the_cure(self):
        for methods, cure in (
                (method_table("hidden_prepend", k=4, j=0), "whose 4 layers are 0 to 3"),
                (method_table("hidden_prepend", k=1), "give k and j, or every"),
                (method_table("hidden_prepend", k=1, every=2), "both k and every"),
                (method_table("token_study", layer=9, answer="text"), "whose 4 layers are 0 to 3"),
                (method_table("token_study", answer="text"), "has no 'layer'"),
                (method_table("token_study", layer=1), "set answer = \"text\""),
                (method_table("token_study", layer=1, token_seed=3, answer="text"), "leave it out"),
                (method_table("kvcomm", ratio=0.5, first_rank=3), "2 is the last"),
                (method_table("kvcomm", layers=[1], first_rank=1), "leave one out")):
            with self.subTest(methods=methods):
                outcome = self.check(call(self.sweep("refused", methods).arguments("plan", "refused-out")), 2)
                self.assertIn(cure, outcome.log)

    def test_letters_are_chosen_among_the_four(self):
        records = [{"q": f"Which is it? {text}", "c": "A hint.", "a": letter}
                   for text, letter in (("ship", "A"), ("storm", "B"), ("bridge", "C"))]
        data = self.folder / "letters.jsonl"
        data.write_text("".join(json.dumps(record) + "\n" for record in records))
        datasets = dataset_table("quiz", data, context="c", question="q", answers="a", prompts="choice",
                                 metric="accuracy")
        sweep = self.sweep_on("letters", datasets, method_table("token_study", layer=0, token=["none", "last"],
                                                                mode="remove"))
        samples = self.found(sweep, "letters-out")["samples"]
        self.assertTrue(samples["answer"].isin(list("ABCD")).all())
        self.assertTrue((samples["output_tokens"] == 1).all())

    # ---- choosing one of several data sets; tuning

    def test_one_data_set_can_be_chosen(self):
        data = self.folder / "chosen.jsonl"
        data.write_text("".join(json.dumps(record) + "\n" for record in demo_records(2)))
        own = {"question": "question", "answers": "answers", "metric": "f1", "max_new_tokens": 4}
        datasets = dataset_table("one", data, **own) + dataset_table("two", data, **own)
        sweep = self.sweep_on("chosen", datasets, method_table("baseline"))
        frames = self.found(sweep, "chosen-out", more=["--dataset", "two"])
        self.assertEqual(set(frames["cells"]["dataset"]), {"two"})
        outcome = self.check(sweep.run("none-out", more=["--dataset", "tow"]), 2)
        self.assertIn("two", outcome.log)

    def test_a_grid_is_tuned_on_some_samples_and_scored_on_others(self):
        methods = (method_table("kvcomm", ratio=0.5) + method_table("kvcomm", ratio=0.5, alpha=[0, 0.5], mu=[0.3, 0.7]) +
                   method_table("random", ratio=0.5, seed=[0, 1]) + method_table("contiguous", sweep_width=2))
        sweep = self.sweep("tuning", methods)
        self.check(sweep.run("tuning-out"))
        out = self.check(call(["tune", sweep.folder / "tuning-out", "--choose-by", "4"])).out
        self.assertIn("5 settings, ", out)
        self.assertRegex(out, r"chosen by 4 samples \(\S+ there\), scored on 6 others")
        self.assertEqual(self.check(call(["tune", sweep.toml, "--choose-by", "4"]), 2).log.count("no journals"), 1)
        for rival in ("untuned: kvcomm(ratio=0.5)", "random: the mean of 2 draws", "contiguous: contiguous(from="):
            self.assertIn(rival, out)
        outcome = self.check(call(["tune", sweep.folder / "nowhere"]), 2)
        self.assertIn("nowhere", outcome.log)


class TwoModels(SystemTest):
    def test_each_model_counts_by_its_own_shape(self):
        make_model(self.folder / "models/org/other", "tiny-qwen2")
        sweep = self.sweep("two", method_table("nld", phase1_tokens=4),
                           pairs=pair_table("org/other", "org/tiny"), run="reuse_prefixes = false")
        outcome = self.check(sweep.run("two-out", ranks=2))
        frames = tables(sweep.results("two-out"))
        for end in ENDS:
            ran, said = frames["ranks"][end].sum(), frames["samples"][end].sum()
            self.assertAlmostEqual(ran, said, delta=1e-9 * said, msg=f"{end}\n{outcome}")


if __name__ == "__main__":
    main()
