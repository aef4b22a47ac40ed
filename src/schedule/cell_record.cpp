#include "schedule/cell_record.h"

#include "score/score.h"

namespace kvcomm {

CellRecord cell_record(const Plan& plan, const Cell& cell, const LayerChoice* choice) {
  const DatasetInfo& info = plan.datasets[cell.dataset].info;
  const Profile profile = profile_of(cell.spec, plan.fidelity);
  CellRecord record{.key = cell.key,
                    .key_json = cell.key_json,
                    .pair = plan.config.pairs[cell.pair].name,
                    .dataset = info.name,
                    .method = cell.spec.label(),
                    .metric = info.metric,
                    .normalisation = normalisation_name(info.metric),
                    .fidelity = plan.fidelity.name,
                    .dtype = std::string(to_text(plan.config.run.dtype)),
                    .calibration_key = cell.calibration_key,
                    .n_planned = static_cast<uint64_t>(cell.samples),
                    .recalibration_scored = profile.scores_recalibrations,
                    .receiver_alone = profile.is_receiver_alone()};
  std::vector<const MethodSpec*> others;
  for (const Cell& other : plan.cells) {
    if (other.pair == cell.pair && other.dataset == cell.dataset) others.push_back(&other.spec);
  }
  const StudyPlace place = study_place(cell.spec, others);
  record.axes = place.axes;
  record.place = place.values;
  record.series = place.series;
  for (size_t l = 0; choice != nullptr && l < choice->selected.size(); ++l) {
    record.layers.push_back({.layer = static_cast<int32_t>(l),
                             .importance = choice->importance[l],
                             .prior = choice->prior[l],
                             .score = choice->score[l],
                             .rank = choice->rank[l],
                             .selected = choice->selected[l]});
  }
  return record;
}

}  // namespace kvcomm
