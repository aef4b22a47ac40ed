// What a method is: its parameters, and pure functions of them, of the models' shapes and of the
// fidelity, known before any model runs. What it does stands in method.h.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "method/spec.h"
#include "model/config.h"
#include "select/fidelity.h"
#include "select/layers.h"

namespace kvcomm {

class Method;

enum class End { kSender, kReceiver };

// What an end's model reads of a sample.
enum class Reading {
  kNothing,
  kContext,    // the sender's context, to be read alone
  kSay,        // the same, and what it makes of it is said
  kSummarise,  // the same, and put into words for another agent
  kQuestion,   // the receiver's
  kBaseline,   // the question alone, by one agent
  kSkyline,    // context and question, by one agent
  kRefine,     // the receiver's second question, whose answers are yet to come
};

// The prompts' key of a reading (text/prompts.h); "" of nothing.
std::string_view prompt_key(Reading reading);

// Whose settings the release generates an answer with (official_behaviour.md, 10).
enum class GeneratedBy {
  kModel,          // the model's own: generation_config.json's
  kConfigEosOnly,  // of a wrapper made from config.json: its eos alone, no penalty
};

// What a method's exchange is.
struct Profile {
  End answers_at = End::kReceiver;
  Reading sender = Reading::kNothing;  // what the sender reads to send
  Reading asked = Reading::kQuestion;  // what the answering end is asked; at first, if twice
  // Both ends answer first; a last prompt, "refine", holds these answers.
  bool refines = false;
  GeneratedBy generated_by = GeneratedBy::kModel;  // the last answer
  int64_t calibration_samples = 0;                 // whose importances it needs; 0: none
  bool held_out = false;                           // of samples that it does not score
  int64_t recalibrate_every = 0;                   // so many samples, each time by one; 0: never
  bool scores_recalibrations = false;              // their answers count in the mean as well
  bool needs_equal_shapes = false;                 // what layers made is read by the other model
  bool needs_equal_widths = false;                 // as is a hidden state
  bool sends_words = false;                        // ids that the sender's model chose
  bool needs_eos = false;                          // the tokenizer's, which ends what is generated
  bool one_sender = false;                         // of more it could not say what they are for
  bool answers_letters = false;                    // of the choices that a question offers
  bool changes_model = false;            // from within: what answers is not the model itself
  std::optional<int64_t> sender_layers;  // that its context goes through; none: all
  std::optional<int64_t> joined_at;      // from that layer on the answering end reads it
  int64_t vector_steps = 0;              // the most for vectors in place of tokens
  std::vector<std::string> fidelity;     // fields that decide an answer, beside others'

  bool sender_reads() const { return sender != Reading::kNothing || answers_at == End::kSender; }
  bool receiver_reads() const { return answers_at == End::kReceiver; }
  // What communication must beat.
  bool is_receiver_alone() const {
    return answers_at == End::kReceiver && asked == Reading::kBaseline && !changes_model;
  }
  // Importances rank the layers.
  bool ranks_layers() const { return calibration_samples > 0 || recalibrate_every > 0; }
  // The keys of its prompts, those that all methods share left out.
  std::vector<std::string> prompts() const;
};

// Payload bytes of one sample; all zero: nothing is sent.
struct WireCost {
  int64_t per_context_token = 0;
  int64_t per_sample = 0;
  int64_t per_step = 0;  // for each token or vector that the sender generates
  int64_t most_steps = 0;
  const char* step = "step";
  bool at_most = false;  // importance decides whether layer 0 is among the chosen

  // "11520 B a context token + 384 B a sample", "1152 B a step generated", "nothing".
  std::string text() const;
};

struct MethodType {
  std::string name;
  std::string summary;
  std::string crosses = "nothing";    // what crosses the wire
  bool sends_ids = false;             // not numbers, which zeros or noise could replace
  std::string form = {};              // the closed form of a sample's bytes; may have several lines
  std::vector<Parameter> parameters;  // in the documentation's order, which is the label's
  nlohmann::ordered_json example = nlohmann::ordered_json::object();  // of those without defaults
  // Parameters that a study varies, in the order in which they are the axes of its plot: where a
  // cell sets any, these are its place there.
  std::vector<std::string> axes = {};

  Profile (*profile)(const MethodSpec& spec, const Fidelity& fidelity);
  // What runs it, with the layers that it chose, ascending, in models of so many.
  std::unique_ptr<Method> (*make)(const MethodSpec& spec, std::span<const int> chosen,
                                  int64_t model_layers, const Fidelity& fidelity);

  // ---- null where there is nothing to say
  // What is wrong between parameters that were set, as a sentence with its cure; "": nothing.
  std::string (*complaint)(const nlohmann::ordered_json& set) = nullptr;
  // The cells that a method stands for in a model of so many layers (that of the end that answers),
  // once a parameter that expands is set. Fails (kUsage) where it stands for none.
  std::vector<MethodSpec> (*expand)(const MethodSpec& spec, int64_t layers) = nullptr;
  // Fails (kUsage) where the parameters do not fit these models.
  void (*check)(const MethodSpec& spec, const ModelConfig& sender, const ModelConfig& receiver,
                const Fidelity& fidelity) = nullptr;
  // Of a method that shares layers: which. importance: of each layer, where the profile needs it.
  // Fails (kUsage) where layers lie outside the model, or are more than it has.
  LayerChoice (*choose)(const MethodSpec& spec, std::span<const double> importance, int layers,
                        const Fidelity& fidelity) = nullptr;
  // element: bytes of one number. Fails as choose does.
  WireCost (*cost)(const MethodSpec& spec, const ModelConfig& model, int64_t element,
                   const Fidelity& fidelity) = nullptr;
};

// Every method that this program can run, in the documentation's order.
const std::vector<MethodType>& methods();

// The method of that name, or nullptr.
const MethodType* find_method(std::string_view name);
const MethodType& type_of(const MethodSpec& spec);

Profile profile_of(const MethodSpec& spec, const Fidelity& fidelity);
bool shares_layers(const MethodSpec& spec);
WireCost wire_cost(const MethodSpec& spec, const ModelConfig& model, int64_t element,
                   const Fidelity& fidelity);
std::unique_ptr<Method> make_method(const MethodSpec& spec, std::span<const int> chosen,
                                    int64_t model_layers, const Fidelity& fidelity);

// What is wrong between the parameters that were set (ratio and layers together, from after to, one
// missing that has no default), as a sentence with its cure; "" if nothing is.
std::string parameters_complaint(const MethodType& type, const nlohmann::ordered_json& set);

// `set` holds values from parameter_value() about which parameters_complaint() is silent.
// default_seed is Random's seed where none is set; phase1_tokens and sender_aware are the
// fidelity's.
MethodSpec make_method_spec(const MethodType& type, const nlohmann::ordered_json& set,
                            int64_t default_seed, const Fidelity& fidelity = Fidelity::paper());

// The cells that a method stands for between models of so many layers: itself, or one for each
// value of `layer_counts = "all"` or each window of `sweep_width`, as if written by hand. Fails
// (kUsage) where a window is wider than the model.
std::vector<MethodSpec> expand_layers(const MethodSpec& spec, int64_t layers);

// The parameters as keys hold them.
nlohmann::ordered_json keyed_parameters(const MethodSpec& spec);

// Of the axes of its method those that it and others of its name set to different values, at most
// two, and its label without them. others: of the same pair and data set, itself among them.
struct StudyPlace {
  std::vector<std::string> axes;
  std::vector<double> values;
  std::string series;
};
StudyPlace study_place(const MethodSpec& spec, std::span<const MethodSpec* const> others);

// Whether it stands for such cells.
bool stands_for_many(const MethodSpec& spec);

// The cell that a method is once one parameter stands in the place of others: for `expand`.
MethodSpec with(const MethodSpec& spec, const char* left_out, const nlohmann::ordered_json& put_in);

}  // namespace kvcomm
