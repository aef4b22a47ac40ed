#include "store/schema.h"

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "base/text.h"
#include "store/results.h"
#include "store/sample_tables.h"
#include "store/studies.h"
#include "store/variants.h"

namespace kvcomm {

namespace {

// The sum of a column over a cell's samples, where that has a meaning.
template <typename Value>
void add_sum(TableOf<CellResult>& table, const char* name, const char* units, const char* meaning,
             Value SampleRow::*member) {
  if (meaning == nullptr) return;
  table.add(name, units, meaning, [member](const CellResult& cell) {
    Value sum = 0;
    for (const SampleRow* row : cell.rows) sum += row->*member;
    return sum;
  });
}

// A number among a method's resolved parameters.
template <typename Value>
auto parameter(const std::string& name, Value none) {
  return [name, none](const CellResult& cell) {
    const nlohmann::json value = key_part(cell.cell.key_json, "/parameters/" + name);
    return value.is_number() ? value.get<Value>() : none;
  };
}

std::string parameters_text(const CellResult& cell) {
  const nlohmann::json all = key_part(cell.cell.key_json, "/parameters");
  return all.is_object() ? all.dump() : "{}";
}

std::string layers_text(const CellResult& cell) {
  const nlohmann::json layers = key_part(cell.cell.key_json, "/parameters/layers");
  return layers.is_array() ? layers.dump() : "";
}

// A text of the cell's record.
auto cell_text(std::string CellRecord::*member) {
  return [member](const CellResult& cell) { return cell.cell.*member; };
}

std::string fingerprint_of(const CellResult& cell) {
  const nlohmann::json named = key_part(cell.cell.key_json, "/dataset/fingerprint");
  return named.is_string() ? named.get<std::string>() : "";
}

// What a cell is.
void add_setting(TableOf<CellResult>& table) {
  table.add("pair", "", "name of the pair of models", cell_text(&CellRecord::pair))
      .add("dataset", "", "name of the data set", cell_text(&CellRecord::dataset))
      .add("fingerprint", "", "of the data set, by which /questions tells it", fingerprint_of)
      .add("method", "", "method with the parameters that were set", cell_text(&CellRecord::method))
      .add("variant", "", kVariant, &CellResult::variant)
      .add("parameters", "", "all parameters with their resolved values, as JSON", parameters_text)
      .add("ratio", "1", "share of the layers that is sent; NaN: none", parameter("ratio", kNone))
      .add("layers", "", "the layers to send, given by hand, as JSON; empty: none", layers_text)
      .add("alpha", "1", "weight of importance against the prior; NaN: none",
           parameter("alpha", kNone))
      .add("mu", "1", "the prior's centre, a fraction of depth; NaN: none", parameter("mu", kNone))
      .add("sigma", "layers", "the prior's width; NaN: none", parameter("sigma", kNone))
      .add("seed", "1", "draws the layers; -1: none", parameter("seed", int64_t{-1}))
      .add("k", "1", "the sender's layer whose input is sent; -1: none",
           parameter("k", int64_t{-1}))
      .add("j", "1", "the receiver's layer at whose input it goes in; -1: none",
           parameter("j", int64_t{-1}))
      .add("metric", "", "how an answer is scored", cell_text(&CellRecord::metric))
      .add("normalisation", "", "of texts before scoring", cell_text(&CellRecord::normalisation))
      .add("fidelity", "", "to the paper or to the authors' release",
           cell_text(&CellRecord::fidelity))
      .add("dtype", "", "of weights, keys and values", cell_text(&CellRecord::dtype));
}

Table cells_table(const Results& results) {
  using C = CellResult;
  using S = SampleRow;
  TableOf<C> table("cells", results.cells);
  add_setting(table);
  table
      .add("n_planned", "1", "samples that the newest run wants",
           [](const C& cell) { return cell.cell.n_planned; })
      .add("n", "1", "samples with a row", [](const C& cell) -> uint64_t { return cell.n(); })
      .add("n_failed", "1", "of n: without an answer, scored 0", &C::n_failed)
      .add("score", "1",
           "mean score over n, in the release's fidelity over /recalibrations too; higher is "
           "better; NaN: no samples",
           [](const C& cell) { return cell.mean.score; })
      .add("standard_error", "1", "sample standard deviation / sqrt(n); NaN: n < 2",
           [](const C& cell) { return cell.mean.standard_error; })
      .add("calibration_bytes", "B",
           "sent once for all cells that share the calibration, or by this one's recalibrations",
           [](const C& cell) { return cell.calibration_bytes(); })
      .add("calibration_s", "s",
           "spent once for all cells that share the calibration, or by this one's recalibrations",
           [](const C& cell) { return cell.calibration_s(); });
#define KVC_ADD_SUM(type, name, units, in_samples, in_cells, absent) \
  add_sum(table, #name, units, in_cells, &S::name);
  KVC_SAMPLE_COLUMNS(KVC_ADD_SUM)
#undef KVC_ADD_SUM
  table
      .add("key", "", "hash of key_json; rows of equal keys are the same work",
           cell_text(&CellRecord::key))
      .add("key_json", "", "all values that decide an answer", cell_text(&CellRecord::key_json))
      .add("calibration_key", "", "of the importances", cell_text(&CellRecord::calibration_key));
  return table.table();
}

// Of the samples with a row in a cell, each once a data set and fingerprint: a data set that
// changed has other questions in the cells of its former files.
Table questions_table(const Results& results) {
  using Q = QuestionRecord;
  std::map<std::tuple<std::string, std::string, uint32_t>, const Q*> asked;
  for (const RunJournal& run : results.journals.runs) {
    for (const Q& question : run.questions) {
      const Q*& kept = asked[{question.dataset, question.fingerprint, question.sample}];
      if (kept == nullptr || (kept->contexts.empty() && !question.contexts.empty())) {
        kept = &question;
      }
    }
  }
  std::map<std::pair<std::string, std::string>, size_t> places;  // of data sets, as in /cells
  std::map<std::pair<size_t, uint32_t>, Q> rows;
  for (const CellResult& cell : results.cells) {
    const std::string fingerprint = fingerprint_of(cell);
    const size_t place =
        places.emplace(std::pair(cell.cell.dataset, fingerprint), places.size()).first->second;
    for (const SampleRow* row : cell.rows) {
      const auto found = asked.find({cell.cell.dataset, fingerprint, row->sample});
      if (found != asked.end()) rows.emplace(std::pair(place, row->sample), *found->second);
    }
  }
  std::vector<Q> sorted;
  for (const auto& [where, question] : rows) sorted.push_back(question);
  return TableOf<Q>("questions", sorted)
      .add("dataset", "", "name of the data set", &Q::dataset)
      .add("fingerprint", "", "of its files, as in the cells' key_json", &Q::fingerprint)
      .add("sample", "1", "place in the data set's evaluated order, from 0", &Q::sample)
      .add("sample_id", "", "the record's own id, or its file:line", &Q::sample_id)
      .add("question", "", "what is asked", &Q::question)
      .variable_length()
      .add("answers", "", "those that are accepted, as JSON",
           [](const Q& question) { return nlohmann::json(question.answers).dump(); })
      .variable_length()
      .add("context", "", "what the senders read, a line for each; only with run.store_contexts",
           [](const Q& question) { return join(question.contexts, "\n"); })
      .variable_length()
      .table();
}

struct LayerOfCell : LayerRow {
  uint64_t kv_bytes = 0;
};

Table layers_table(const Results& results) {
  using L = LayerOfCell;
  std::vector<std::vector<L>> layers;  // of each cell: what rows point to
  for (const CellResult& cell : results.cells) {
    std::vector<L>& of_cell = layers.emplace_back();
    for (size_t i = 0; i < cell.cell.layers.size(); ++i) {
      of_cell.push_back({cell.cell.layers[i], cell.layer_bytes[i]});
    }
  }
  const auto rows = rows_of(results, layers);
  return table_of_cells("layers", rows)
      .add("layer", "1", "from 0", of(&L::layer))
      .add("importance", "1", "measured by calibration; NaN: not measured", of(&L::importance))
      .add("prior", "1", "Gaussian over depth; NaN: not used", of(&L::prior))
      .add("score", "1", "what the ranking sorts by; NaN: no ranking", of(&L::score))
      .add("rank", "1", "0 is the first choice; -1: no ranking", of(&L::rank))
      .add("selected", "1", "1: keys and values of this layer are sent", of(&L::selected))
      .add("kv_bytes", "B", "keys and values sent, sum over samples", of(&L::kv_bytes))
      .table();
}

Table ranks_table(const Results& results) {
  using R = RankRecord;
  std::map<std::pair<std::string, int32_t>, R> last;
  for (const RunJournal& run : results.journals.runs) {
    for (const R& rank : run.ranks) last[{rank.run_id, rank.rank}] = rank;
  }
  std::vector<R> rows;
  for (const auto& [id, rank] : last) rows.push_back(rank);
  return TableOf<R>("ranks", rows)
      .add("run_id", "", "row of /runs", &R::run_id)
      .add("rank", "1", "MPI rank", &R::rank)
      .add("host", "", "host name", &R::host)
      .add("pid", "1", "process id", &R::pid)
      .add("role", "", "sender, receiver or both", &R::role)
      .add("lane", "1", "lane that the rank belongs to", &R::lane)
      .add("device", "", "where its tensors are", &R::device)
      .add("transport", "", "what carries its payload", &R::transport)
      .add("load_s", "s", "loading weights; of this table, each second once, as it ran", &R::load_s)
      .add("calibration_s", "s", "measuring importances, with what they wait for and send",
           &R::calibration_s)
      .add("sender_prefill_s", "s", "reading contexts, once for all methods that share them",
           &R::sender_prefill_s)
      .add("wire_s", "s", "moving payload: packing, sums, sends and receives", &R::wire_s)
      .add("wait_s", "s", "waiting for the peer's work, in an exchange", &R::wait_s)
      .add("receiver_prefill_s", "s", "reading prompts", &R::receiver_prefill_s)
      .add("decode_s", "s", "generating, at this end", &R::decode_s)
      .add("idle_s", "s", "all else: waiting for tasks, reading data", &R::idle_s)
      .add("sender_flops", "FLOP", "that its models ran as senders", &R::sender_flops)
      .add("receiver_flops", "FLOP", "that they ran to answer", &R::receiver_flops)
      .add("calibration_flops", "FLOP", "that they ran to measure importances",
           &R::calibration_flops)
      .add("host_joules", "J",
           "of all processors of its host while it worked (RAPL), whoever used them; NaN: not told",
           &R::host_joules)
      .add("gpu_joules", "J", "of its GPU meanwhile (NVML); NaN: none, or not told", &R::gpu_joules)
      .add("peak_weights_bytes", "B", "the most that weights took at once", &R::peak_weights_bytes)
      .add("peak_kv_bytes", "B", "likewise of keys and values: caches, contexts, what arrived",
           &R::peak_kv_bytes)
      .add("peak_activation_bytes", "B", "likewise of all other tensors", &R::peak_activation_bytes)
      .add("start_host_bytes", "B", "memory of the process before it loaded a model",
           &R::start_host_bytes)
      .add("peak_host_bytes", "B", "the most memory that the process had at once",
           &R::peak_host_bytes)
      .add("peak_device_bytes", "B", "the most that its tensors took of a GPU; 0: none there",
           &R::peak_device_bytes)
      .table();
}

// Failures of cells under a key that is no longer shown are left out, as their rows are.
Table failures_table(const Results& results) {
  using F = FailureRecord;
  std::set<std::string> cell_keys;
  for (const RunJournal& run : results.journals.runs) {
    for (const CellRecord& cell : run.cells) cell_keys.insert(cell.key);
  }
  std::multimap<std::string, size_t> shown;
  for (size_t c = 0; c < results.cells.size(); ++c) shown.emplace(results.cells[c].cell.key, c);
  std::vector<OfCell<F>> rows;
  for (const RunJournal& run : results.journals.runs) {
    for (const F& failure : run.failures) {
      if (!cell_keys.contains(failure.key)) rows.push_back({-1, nullptr, &failure});
      const auto [from, to] = shown.equal_range(failure.key);
      for (auto cell = from; cell != to; ++cell) {
        rows.push_back(
            {static_cast<int32_t>(cell->second), &results.cells[cell->second], &failure});
      }
    }
  }
  return table_of_cells("failures", rows)
      .add("sample", "1", "place in the data set's evaluated order, from 0", of(&F::sample))
      .add("attempt", "1", "from 1", of(&F::attempt))
      .add("step", "", "what was being done", of(&F::step))
      .add("what", "", "what went wrong", of(&F::what))
      .add("key", "", "of the cell, or of a calibration", of(&F::key))
      .table();
}

Table runs_table(const Results& results) {
  using J = RunJournal;
  const auto text = [](std::string RunRecord::*member) {
    return [member](const J& journal) { return journal.run.*member; };
  };
  return TableOf<J>("runs", results.journals.runs)
      .add("run_id", "", "the journal's name", text(&RunRecord::run_id))
      .add("date", "", "start of the run", text(&RunRecord::date))
      .add("software_version", "", "of the program", text(&RunRecord::version))
      .add("commit", "", "of its source", text(&RunRecord::commit))
      .add("machine", "", "that rank 0 ran on", text(&RunRecord::machine))
      .add("batches", "", "most samples in a batch of each pair, as JSON",
           [](const J& journal) { return nlohmann::json(journal.run.batches).dump(); })
      .add("rows", "1", "sample rows written by the run, retries included",
           [](const J& journal) -> uint64_t { return journal.samples.size(); })
      .add("argv", "", "the command, as JSON",
           [](const J& journal) { return nlohmann::json(journal.run.argv).dump(); })
      .add("config", "", "the effective configuration", text(&RunRecord::config))
      .table();
}

}  // namespace

std::vector<Table> tables_of(const Results& results) {
  return {samples_table(results), senders_table(results),
          scores_table(results),  questions_table(results),
          cells_table(results),   layers_table(results),
          studies_table(results), recalibrations_table(results),
          ranks_table(results),   failures_table(results),
          runs_table(results)};
}

}  // namespace kvcomm
