// The closed forms of rows' payload, from what a cell's key says.
#include <gtest/gtest.h>

#include "sweep/verify_cells.h"

namespace kvcomm {
namespace {

constexpr uint64_t kRow = 2 * 2 * 8 * 4;  // keys and values of a token in a layer, float32

// A folder with one cell of a method, whose models are not at hand, and a row that it sent.
Journals folder_of(const std::string& method, const std::string& parameters,
                   const std::string& fidelity, const SampleRow& row,
                   const std::string& sender = R"("s")") {
  const std::string release =
      fidelity == "release" ? R"({"keep_layer0":true,"sink_token":true})" : "{}";
  CellRecord cell{.key = "k",
                  .key_json = R"({"sender":)" + sender + R"(,"dtype":"float32","method":")" +
                              method + R"(","parameters":)" + parameters + R"(,"fidelity":)" +
                              release + "}",
                  .pair = "p",
                  .dataset = "d",
                  .method = method,
                  .fidelity = fidelity,
                  .layers = {{.layer = 0}, {.layer = 1}, {.layer = 2}, {.layer = 3}}};
  Journals journals;
  journals.runs = {{.cells = {cell}, .samples = {row}}};
  return journals;
}

PayloadForm form_of(const Journals& journals, const std::vector<int>& chosen = {}) {
  const auto cells = known_cells(journals);
  EXPECT_EQ(cells.at("k").unknown, "");
  return payload_form(cells.at("k"), journals.runs[0].samples[0], chosen);
}

SampleRow kv_row(std::vector<uint64_t> layer_bytes) {
  SampleRow row{.key = "k", .layer_bytes = std::move(layer_bytes)};
  row.context_tokens = 10;
  return row;
}

TEST(PayloadForm, OfSharedLayers) {
  const PayloadForm form = form_of(
      folder_of("contiguous", R"({"from":1,"to":2})", "paper", kv_row({0, 10 * kRow})), {1, 2});
  EXPECT_EQ(form.payload, 2 * 10 * kRow);
  EXPECT_EQ(form.layers_sent, 2u);
  EXPECT_EQ(form.layer_bytes, (std::vector<uint64_t>{0, 10 * kRow, 10 * kRow, 0}));
}

TEST(PayloadForm, OfTheReleaseHasLayer0WholeAndTheFirstRowOfAllOthers) {
  const PayloadForm form =
      form_of(folder_of("contiguous", R"({"from":2,"to":2})", "release", kv_row({10 * kRow})), {2});
  EXPECT_EQ(form.layers_sent, 2u);
  EXPECT_EQ(form.layer_bytes, (std::vector<uint64_t>{10 * kRow, kRow, 10 * kRow, kRow}));
}

TEST(PayloadForm, OfSeveralSendersIsTheFirstOnesRowAndAllOfTheirContexts) {
  SampleRow row = kv_row({10 * kRow});
  row.senders = {{.context_tokens = 4}, {.context_tokens = 6}};
  const PayloadForm form =
      form_of(folder_of("contiguous", R"({"from":2,"to":2})", "release", row, R"(["s","t"])"), {2});
  EXPECT_EQ(form.senders, (std::vector<uint64_t>{2 * 4 * kRow + 2 * kRow, 2 * 6 * kRow}));
  EXPECT_EQ(form.payload, form.senders[0] + form.senders[1]);
}

TEST(PayloadForm, OfIdsVectorsAndHiddenStates) {
  SampleRow row{.key = "k"};
  row.context_tokens = 10;
  row.sender_output_tokens = 3;
  row.payload_bytes = 3 * 32 * 4;  // by which a row of vectors shows that they are 32 wide
  const char* debate = R"({"phase1_tokens":5,"sender_aware":true})";
  EXPECT_EQ(form_of(folder_of("nld", debate, "paper", row)).payload, 4u * 3);
  EXPECT_EQ(form_of(folder_of("cipher", debate, "paper", row)).payload, 32u * 4 * 3);
  row.payload_bytes = 32 * 4;
  EXPECT_EQ(form_of(folder_of("ac", R"({"f":"mean","k":1,"j":1})", "paper", row)).payload, 32u * 4);
  row.payload_bytes = 10 * 32 * 4;
  EXPECT_EQ(form_of(folder_of("hidden_prepend", R"({"k":1,"j":1})", "paper", row)).payload,
            10u * 32 * 4);
  EXPECT_EQ(form_of(folder_of("skyline", R"({"model":"receiver"})", "paper", row)).payload, 0u);
}

TEST(KnownCells, SayWhatTheyDoNotKnow) {
  SampleRow row{.key = "k"};
  EXPECT_EQ(known_cells(folder_of("telepathy", "{}", "paper", row)).at("k").unknown,
            "this program has no method 'telepathy'");
  EXPECT_EQ(
      known_cells(folder_of("contiguous", R"({"from":1,"to":2})", "paper", row)).at("k").unknown,
      "no row shows how wide its models are");
}

}  // namespace
}  // namespace kvcomm
