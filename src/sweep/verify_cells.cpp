#include "sweep/verify_cells.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "config/config.h"
#include "method/method.h"
#include "method/sharing.h"
#include "model/fingerprint.h"
#include "plan/plan.h"

namespace kvcomm {

using Json = nlohmann::json;

namespace {

// The shapes of models whose folders are at hand, by the fingerprint of what ran.
std::map<std::string, ModelConfig> shapes_at_hand(const Journals& journals) {
  constexpr std::string_view kWeights = "weights ";  // as provenance.cpp names them
  std::map<std::string, ModelConfig> shapes;
  std::set<std::filesystem::path> looked_at;
  for (const RunJournal& run : journals.runs) {
    if (run.run.config.empty()) continue;
    const Config config = read_data_sets(run.run.config);
    for (const auto& [name, fingerprint] : run.run.fingerprints) {
      if (!name.starts_with(kWeights) || shapes.contains(fingerprint)) continue;
      const auto folder = model_folder(config, name.substr(kWeights.size()));
      if (!looked_at.insert(folder).second) continue;
      try {
        if (known_fingerprint(folder) == fingerprint) {
          shapes.emplace(fingerprint, load_model_config(folder));
        }
      } catch (const Error&) {  // not at hand
      }
    }
  }
  return shapes;
}

// The method with its parameters, as they are resolved.
MethodSpec spec_of(const MethodType& type, const Json& parameters) {
  nlohmann::ordered_json set = nlohmann::ordered_json::object();
  for (const auto& [name, value] : parameters.items()) {
    if (!value.is_null()) set[name] = value;
  }
  return make_method_spec(type, set, /*default_seed=*/0);
}

// The fidelity, as far as it decides the method's answers.
Fidelity fidelity_of_key(const CellRecord& cell, const Json& key) {
  Config config;
  config.run.fidelity = cell.fidelity.starts_with(to_text(FidelityChoice::kRelease))
                            ? FidelityChoice::kRelease
                            : FidelityChoice::kPaper;
  config.fidelity = key.at("fidelity");
  return fidelity_of(config);
}

size_t layers_of(const KnownCell& cell, const Journals& journals) {
  if (!cell.cell.layers.empty()) return cell.cell.layers.size();
  for (const RunJournal& run : journals.runs) {
    for (const RecalibrationRecord& record : run.recalibrations) {
      if (record.key == cell.cell.key) return record.importance.size();
    }
  }
  return 0;
}

void read_key(KnownCell& cell) {
  const Json& key = cell.key;
  const std::string method = key.at("method");
  const MethodType* type = find_method(method);
  if (type == nullptr) {
    cell.unknown = fmt::format("this program has no method '{}'", method);
    return;
  }
  cell.fidelity = fidelity_of_key(cell.cell, key);
  cell.spec = spec_of(*type, key.at("parameters"));
  cell.profile = profile_of(cell.spec, cell.fidelity);
  cell.senders = key.at("sender").is_array() ? key.at("sender").size() : 1;
  const bool is_whole = key.at("dtype") == to_text(DtypeChoice::kFloat32);
  cell.element = element_bytes(is_whole ? DtypeChoice::kFloat32 : DtypeChoice::kBfloat16);
}

std::string first_sender(const Json& key) {
  const Json& sender = key.at("sender");
  return sender.is_array() ? sender.at(0) : sender;
}

void take_shape(KnownCell& cell, const std::map<std::string, ModelConfig>& at_hand,
                const Journals& journals) {
  const auto known = at_hand.find(first_sender(cell.key));
  if (known != at_hand.end()) {
    cell.shape = known->second;
  } else {
    cell.shape.layers = static_cast<int64_t>(layers_of(cell, journals));
  }
  if (shares_layers(cell.spec) && cell.shape.layers == 0) {
    cell.unknown = "no journal tells how many layers its models have";
    return;
  }
  const auto script =
      make_method(cell.spec, {}, cell.shape.layers, cell.fidelity)->script(/*sender=*/0);
  if (!script.empty()) cell.kind = script.front().kind;
}

// What a row shows of a number that shapes have, where the form is that number times `units`.
int64_t shown(uint64_t bytes, uint64_t units) {
  return units > 0 && bytes % units == 0 ? static_cast<int64_t>(bytes / units) : 0;
}

// Fills in what is not known of a shape from a good row of the cell.
void learn_from(const SampleRow& row, KnownCell& cell) {
  const auto element = static_cast<uint64_t>(cell.element);
  if (cell.kind == PayloadKind::kKv) {
    if (row.layer_bytes.empty()) return;
    cell.shape.kv_heads = 1;  // times head_dim: bytes need no more
    cell.shape.head_dim =
        shown(*std::ranges::max_element(row.layer_bytes), 2 * element * row.context_tokens);
  } else {
    cell.shape.hidden = 1;
    cell.shape.hidden = shown(row.payload_bytes, payload_form(cell, row, {}).payload);
  }
}

bool needs_shape(const KnownCell& cell) {
  if (!cell.unknown.empty() || !cell.kind || *cell.kind == PayloadKind::kTokens) return false;
  return cell.kind == PayloadKind::kKv ? cell.shape.head_dim == 0 : cell.shape.hidden == 0;
}

// Cells of the same senders and dtype have rows of the same width.
void learn_shapes(const Journals& journals, std::map<std::string, KnownCell>& cells) {
  std::map<std::string, ModelConfig> learnt;
  const auto shape_of = [&](const KnownCell& cell) -> ModelConfig& {
    return learnt[fmt::format("{} {} {}", cell.key.at("sender").dump(), cell.element,
                              cell.kind == PayloadKind::kKv)];
  };
  for (const RunJournal& run : journals.runs) {
    for (const SampleRow& row : run.samples) {
      const auto found = cells.find(row.key);
      if (row.failed || found == cells.end() || !needs_shape(found->second)) continue;
      KnownCell& cell = found->second;
      ModelConfig& shape = shape_of(cell);
      shape.layers = cell.shape.layers;
      cell.shape = shape;
      if (needs_shape(cell)) learn_from(row, cell);
      shape = cell.shape;
    }
  }
  for (auto& [key, cell] : cells) {
    if (needs_shape(cell)) cell.unknown = "no row shows how wide its models are";
  }
}

}  // namespace

std::map<std::string, KnownCell> known_cells(const Journals& journals) {
  std::map<std::string, KnownCell> cells;
  for (const RunJournal& run : journals.runs) {
    for (const CellRecord& record : run.cells) {
      KnownCell& known = cells[record.key];
      std::vector<LayerRow> layers = std::move(known.cell.layers);
      known.cell = record;
      if (record.layers.empty()) known.cell.layers = std::move(layers);
    }
  }
  const auto at_hand = shapes_at_hand(journals);
  for (auto& [key, cell] : cells) {
    const CellRecord& record = cell.cell;
    cell.name = fmt::format("{} on {} of {}", record.method, record.dataset, record.pair);
    cell.key = Json::parse(record.key_json, nullptr, /*allow_exceptions=*/false);
    try {
      read_key(cell);
      if (cell.unknown.empty()) take_shape(cell, at_hand, journals);
    } catch (const std::exception& error) {
      cell.unknown = fmt::format("the key_json of {} is not as this program writes it ({})",
                                 cell.name, error.what());
    }
  }
  learn_shapes(journals, cells);
  return cells;
}

std::vector<int> chosen_layers(const KnownCell& cell, const std::vector<double>& importance) {
  const std::vector<double> flat(static_cast<size_t>(cell.shape.layers), 0.0);
  return type_of(cell.spec)
      .choose(cell.spec, importance.empty() ? flat : importance,
              static_cast<int>(cell.shape.layers), cell.fidelity)
      .layers();
}

namespace {

uint64_t count(int64_t value) { return static_cast<uint64_t>(value); }

// What each sender read and said; of one alone the row itself tells.
std::vector<SenderPart> parts_of(const SampleRow& row) {
  if (!row.senders.empty()) return row.senders;
  return {{.context_tokens = row.context_tokens, .output_tokens = row.sender_output_tokens}};
}

// Of the first sender's context the first token goes in layers that are not sent whole.
PayloadForm shared_form(const KnownCell& cell, const std::vector<SenderPart>& parts,
                        const std::vector<int>& chosen) {
  const Sharing sharing = make_sharing(chosen, cell.shape.layers, cell.fidelity);
  const uint64_t row_bytes = count(cell.kv_row());
  PayloadForm form{.layers_sent = sharing.full_layers.size(),
                   .layer_bytes = std::vector<uint64_t>(count(cell.shape.layers))};
  for (const int layer : sharing.first_rows) form.layer_bytes[count(layer)] = row_bytes;
  for (size_t s = 0; s < parts.size(); ++s) {
    const uint64_t whole = parts[s].context_tokens * row_bytes;
    for (const int layer : sharing.full_layers) form.layer_bytes[count(layer)] += whole;
    form.senders.push_back(whole * sharing.full_layers.size() +
                           (s == 0 ? row_bytes * sharing.first_rows.size() : 0));
    form.payload += form.senders.back();
  }
  return form;
}

}  // namespace

PayloadForm payload_form(const KnownCell& cell, const SampleRow& row,
                         const std::vector<int>& chosen) {
  if (!cell.kind) return {};
  const std::vector<SenderPart> parts = parts_of(row);
  if (shares_layers(cell.spec)) return shared_form(cell, parts, chosen);
  const WireCost cost = wire_cost(cell.spec, cell.shape, cell.element, cell.fidelity);
  PayloadForm form;
  for (const SenderPart& part : parts) {
    form.senders.push_back(count(cost.per_context_token) * part.context_tokens +
                           count(cost.per_sample) + count(cost.per_step) * part.output_tokens);
    form.payload += form.senders.back();
  }
  return form;
}

std::string in_quotes(std::string_view text) {
  constexpr size_t kLongest = 80;
  const bool whole = text.size() <= kLongest;
  return Json(text.substr(0, kLongest)).dump(-1, ' ', false, Json::error_handler_t::replace) +
         (whole ? "" : "...");
}

}  // namespace kvcomm
