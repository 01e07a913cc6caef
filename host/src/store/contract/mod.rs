//! What every store must do, as one suite. A new store adds one line below.
//!
//! Each promise of the [contract](super) has a test by its number. `lockstep` drives two stores with
//! the same random steps and compares their answers; `sqlite` is about files.

mod erasing;
mod fires;
mod fleet;
mod forgetting;
mod keeping;
mod lockstep;
mod losing;
mod lost_answers;
mod moving;
mod papers;
mod policies;
mod quotas;
mod runs;
mod server;
mod sessions;
mod sqlite;
mod usage;
pub(crate) mod world;

use world::World;

/// One module of tests for one kind of store.
macro_rules! exercise {
    ($kind:ident, $new:expr, [$($area:ident :: $test:ident,)*]) => {
        mod $kind {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
                async fn $test() {
                    super::super::$area::$test($new.await).await;
                }
            )*
        }
    };
}

macro_rules! suite {
    ($($kind:ident => $new:expr,)*) => {
        mod suite {
            $(exercise!($kind, $new, [
                fires::i1_a_fire_has_one_run_however_often_it_is_planned,
                fires::i2_the_cursor_never_goes_back_to_what_is_accounted_for,
                fires::i3_every_fire_time_passed_is_accounted_for_once,
                fires::i4_nothing_fires_early_or_out_of_order,
                fires::at_max_instances_a_fire_is_skipped_or_waits,
                fires::adjacent_skips_are_one_open_range,
                fires::what_was_coalesced_into_a_skipped_run_is_skipped,
                fires::due_jobs_come_earliest_first,
                fires::a_paused_or_parked_job_is_not_due_and_makes_no_runs,
                fires::a_put_follows_its_conflict_policy,
                fires::a_patch_is_compared_and_repeatable,
                fires::a_job_made_again_has_a_fresh_uid_and_keeps_its_past,
                runs::i6_fences_grow,
                runs::i7_only_the_current_attempt_writes,
                runs::i8_what_is_done_stays_done,
                runs::i9_rescues_are_bounded,
                runs::i16_a_cancelled_run_never_starts,
                runs::a_cancelled_run_that_is_held_ends_in_what_it_reached,
                runs::higher_priority_goes_first_then_the_older_fire,
                runs::a_retry_waits_for_its_time_and_keeps_its_slot,
                runs::a_run_with_a_time_waits_for_it_without_a_slot,
                runs::a_claim_in_a_fire_is_held_at_once_unless_its_plugin_is_missing,
                runs::a_dropped_run_has_its_verdict_and_never_starts,
                runs::the_schedule_knows_its_last_run_and_success,
                runs::removing_a_job_cancels_or_leaves_its_runs,
                runs::changes_are_told_after_they_are_kept,
                sessions::what_is_handed_back_can_be_taken_at_once,
                sessions::i5_no_more_runs_are_live_than_the_job_may_have,
                sessions::i10_i12_a_beat_is_seen_and_an_ended_session_stays_ended,
                sessions::i15_the_feed_leaves_nothing_out,
                policies::a_run_that_waited_too_long_has_its_verdict_and_never_starts,
                policies::a_run_that_started_in_time_has_no_deadline_any_more,
                policies::with_overlap_queue_a_fire_waits_up_to_the_limit,
                policies::with_overlap_replace_the_oldest_makes_room,
                policies::a_job_that_fails_too_often_in_a_row_is_paused,
                policies::a_pause_is_looked_at_when_it_ends_and_is_one_range,
                policies::what_waits_by_itself_is_not_bound_by_the_queue_limit,
                keeping::i13_what_was_acknowledged_is_kept,
                keeping::i14_a_refused_call_leaves_nothing_behind,
                forgetting::i18_trimming_spares_what_is_live_new_or_the_last,
                forgetting::trimming_bounds_entries_and_bodies,
                forgetting::a_range_ages_from_when_it_was_noted_and_a_run_from_its_end,
                forgetting::of_too_many_entries_the_oldest_go,
                forgetting::each_job_has_a_history_of_its_own,
                forgetting::of_a_removed_job_all_is_forgotten,
                forgetting::a_body_that_is_gone_is_an_empty_log,
                forgetting::a_round_goes_on_where_the_step_before_it_ended,
                forgetting::a_job_that_grew_much_is_looked_at_out_of_turn,
                erasing::all_of_a_tenant_is_forgotten_but_what_lives_and_what_it_used,
                keeping::i20_a_tenant_sees_only_its_own,
                papers::lists_come_in_pages_that_neither_repeat_nor_leave_out,
                papers::a_long_list_comes_whole,
                papers::a_ledger_holds_runs_and_ranges_newest_first,
                papers::a_log_is_read_by_line_and_is_complete_when_the_run_is_done,
                papers::documents_are_compared_and_set,
                papers::a_write_of_a_document_that_hosts_follow_is_a_new_mark,
                papers::counters_stop_at_their_limit,
                usage::what_ends_is_added_once_to_the_hour_of_its_end,
                usage::what_was_used_comes_in_pages_by_tenant_hour_and_job,
                usage::what_was_used_is_kept_for_13_months,
                usage::of_too_many_jobs_in_an_hour_the_rest_have_one_bucket,
                fleet::the_end_of_a_window_is_told_as_a_date,
                quotas::runs_at_once_and_their_memory_wait_within_the_quota,
                quotas::who_waits_is_told_of_another_quota,
                quotas::a_queue_of_the_fleet_has_so_many_runs_at_once,
                quotas::what_one_tenant_piled_up_holds_nobody_else_up,
                quotas::many_plugins_that_nobody_has_hide_none_that_somebody_has,
                quotas::a_minute_has_so_many_runs_and_the_rest_have_their_verdict,
                quotas::an_hour_has_so_much_processor_time_also_after_a_restart,
                quotas::requests_are_counted_before_they_are_made,
                quotas::whoever_asks_for_more_than_the_quota_is_refused,
                quotas::runs_over_a_jobs_rate_wait_for_the_next_window_with_their_slot,
                quotas::what_a_rate_put_off_goes_before_what_fires_now,
                quotas::tenants_that_wait_are_served_in_turn_by_what_they_used,
                quotas::who_waited_for_nothing_has_saved_nothing,
                quotas::room_that_is_kept_for_others_is_not_taken,
                moving::what_is_exported_is_found_in_every_kind_of_store_and_goes_on,
                moving::an_import_needs_an_empty_store_and_counts_when_it_has_ended,
            ]);)*
        }
    };
}

suite! {
    memory => super::super::World::memory(),
    sqlite => super::super::World::sqlite(),
    redis => super::super::World::redis(),
}
