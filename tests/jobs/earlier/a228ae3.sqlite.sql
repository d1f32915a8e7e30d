BEGIN TRANSACTION;
CREATE TABLE hunyuan_corrections (
	basis TEXT NOT NULL, 
	model TEXT NOT NULL, 
	precision TEXT NOT NULL, 
	stage TEXT NOT NULL, 
	factor FLOAT NOT NULL, 
	spread FLOAT NOT NULL, 
	PRIMARY KEY (basis, model, precision, stage)
);
CREATE TABLE hunyuan_deliveries (
	id TEXT NOT NULL, 
	job_id TEXT NOT NULL, 
	event TEXT NOT NULL, 
	position INTEGER DEFAULT '0' NOT NULL, 
	owner TEXT DEFAULT '' NOT NULL, 
	receiver TEXT DEFAULT '' NOT NULL, 
	job JSON NOT NULL, 
	state TEXT NOT NULL, 
	in_vain BOOLEAN DEFAULT 0 NOT NULL, 
	attempts INTEGER NOT NULL, 
	last_status INTEGER, 
	last_error TEXT, 
	created_at BIGINT NOT NULL, 
	next_attempt_at BIGINT, 
	last_attempt_at BIGINT, 
	PRIMARY KEY (id), 
	FOREIGN KEY(job_id) REFERENCES hunyuan_jobs (id) ON DELETE CASCADE
);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71be24638d57be20c4bc93e3-started','18ec71be24638d57be20c4bc93e3','started',2,'ana','127.0.0.1:9','{"id": "18ec71be24638d57be20c4bc93e3", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "completed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935412882, "started_at": 1795935412904, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-828e82cb0143", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935412904, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','delivered',0,1,204,NULL,1795935412910,NULL,1795935413064);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71be24638d57be20c4bc93e3-1-completed','18ec71be24638d57be20c4bc93e3','completed',3,'ana','127.0.0.1:9','{"id": "18ec71be24638d57be20c4bc93e3", "owner": "ana", "state": "completed", "model": "demo", "params": {"prompt": "completed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935412882, "started_at": 1795935412904, "completed_at": 1795935412950, "expires_at": 4000000000000, "run": 1, "executor_id": null, "attempts": 1, "failed_starts": 0, "resumed_from_step": null, "stage": "publishing", "step": 5, "part": 0, "parts": 1, "progressed_at": 1795935412949, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,0,NULL,NULL,1795935412951,1795935412951,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71be28df1a29b5aaf90dbeac-started','18ec71be28df1a29b5aaf90dbeac','started',2,'ana','127.0.0.1:9','{"id": "18ec71be28df1a29b5aaf90dbeac", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "failed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935412957, "started_at": 1795935412962, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-828e82cb0143", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935412962, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',1,1,NULL,'no answer in time',1795935412962,1795935418072,1795935413066);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71be28df1a29b5aaf90dbeac-1-failed','18ec71be28df1a29b5aaf90dbeac','failed',3,'ana','127.0.0.1:9','{"id": "18ec71be28df1a29b5aaf90dbeac", "owner": "ana", "state": "failed", "model": "demo", "params": {"prompt": "failed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935412957, "started_at": 1795935412962, "completed_at": 1795935412981, "expires_at": 4000000000000, "run": 1, "executor_id": null, "attempts": 1, "failed_starts": 0, "resumed_from_step": null, "stage": "denoising", "step": 2, "part": 0, "parts": 1, "progressed_at": 1795935412980, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": "broken", "error_message": "it broke", "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,0,NULL,NULL,1795935412983,1795935412983,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71be2aa07cd99b9c297c27de-started','18ec71be2aa07cd99b9c297c27de','started',2,'ana','127.0.0.1:9','{"id": "18ec71be2aa07cd99b9c297c27de", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "queued again by a retry", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935412986, "started_at": 1795935412990, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-828e82cb0143", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935412990, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','failed',0,1,410,NULL,1795935412990,NULL,1795935413066);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71be2aa07cd99b9c297c27de-1-failed','18ec71be2aa07cd99b9c297c27de','failed',3,'ana','127.0.0.1:9','{"id": "18ec71be2aa07cd99b9c297c27de", "owner": "ana", "state": "failed", "model": "demo", "params": {"prompt": "queued again by a retry", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935412986, "started_at": 1795935412990, "completed_at": 1795935413000, "expires_at": 4000000000000, "run": 1, "executor_id": null, "attempts": 1, "failed_starts": 0, "resumed_from_step": null, "stage": "denoising", "step": 1, "part": 0, "parts": 1, "progressed_at": 1795935412995, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": "broken", "error_message": "it broke", "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,0,NULL,NULL,1795935413001,1795935413001,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71be2c4bd0521cc70ec9a274-started','18ec71be2c4bd0521cc70ec9a274','started',2,'ana','127.0.0.1:9','{"id": "18ec71be2c4bd0521cc70ec9a274", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "paused with its draft", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935413014, "started_at": 1795935413018, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-828e82cb0143", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935413018, "has_preview": false, "draft_steps": 2, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,0,NULL,NULL,1795935413018,1795935413018,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71be2d70eec8fdfa439ddd8e-started','18ec71be2d70eec8fdfa439ddd8e','started',2,'ana','127.0.0.1:9','{"id": "18ec71be2d70eec8fdfa439ddd8e", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "canceled while it was rendered", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935413034, "started_at": 1795935413038, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-828e82cb0143", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935413038, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,0,NULL,NULL,1795935413038,1795935413038,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71be2d70eec8fdfa439ddd8e-1-canceled','18ec71be2d70eec8fdfa439ddd8e','canceled',3,'ana','127.0.0.1:9','{"id": "18ec71be2d70eec8fdfa439ddd8e", "owner": "ana", "state": "canceled", "model": "demo", "params": {"prompt": "canceled while it was rendered", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935413034, "started_at": 1795935413038, "completed_at": 1795935413049, "expires_at": 5395935413050, "run": 1, "executor_id": "vm-828e82cb0143", "attempts": 1, "failed_starts": 0, "resumed_from_step": null, "stage": "denoising", "step": 3, "part": 0, "parts": 1, "progressed_at": 1795935413048, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,0,NULL,NULL,1795935413052,1795935413052,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71be2fcd955cb73186bb4c58-started','18ec71be2fcd955cb73186bb4c58','started',2,'ana','127.0.0.1:9','{"id": "18ec71be2fcd955cb73186bb4c58", "owner": "ana", "state": "in_progress", "model": "demo", "params": {"prompt": "pausing at step 1", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 1, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935413073, "started_at": 1795935413075, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-828e82cb0143", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935413075, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,0,NULL,NULL,1795935413075,1795935413075,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71be30ae03706a038de421be-started','18ec71be30ae03706a038de421be','started',2,'','127.0.0.1:9','{"id": "18ec71be30ae03706a038de421be", "owner": "", "state": "in_progress", "model": "demo", "params": {"prompt": "running at step 3", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 10, "turn": 2, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935413088, "started_at": 1795935413092, "completed_at": null, "expires_at": null, "run": 1, "executor_id": "vm-168628cfab61", "attempts": 1, "failed_starts": 1, "resumed_from_step": null, "stage": "loading", "step": 0, "part": 0, "parts": 1, "progressed_at": 1795935413092, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,0,NULL,NULL,1795935413094,1795935413094,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71be32e9a178e95776dee74f-1-canceled','18ec71be32e9a178e95776dee74f','canceled',3,'ana','127.0.0.1:9','{"id": "18ec71be32e9a178e95776dee74f", "owner": "ana", "state": "canceled", "model": "demo", "params": {"prompt": "canceled in the queue", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 0, "turn": 4, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935413125, "started_at": null, "completed_at": 1795935413132, "expires_at": 5395935413132, "run": 1, "executor_id": null, "attempts": 0, "failed_starts": 0, "resumed_from_step": null, "stage": "queued", "step": 0, "part": 0, "parts": 1, "progressed_at": null, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,0,NULL,NULL,1795935413135,1795935413135,NULL);
INSERT INTO "hunyuan_deliveries" VALUES('18ec71be3416158a6fe881788386-1-canceled','18ec71be3416158a6fe881788386','canceled',3,'ana','127.0.0.1:9','{"id": "18ec71be3416158a6fe881788386", "owner": "ana", "state": "canceled", "model": "demo", "params": {"prompt": "canceled while it was paused", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}, "metadata": {}, "priority": 0, "turn": 4, "remixed_from": null, "seconds": null, "webhook_url": "http://127.0.0.1:9/hook?token=1", "webhook_events": ["started", "completed", "failed", "canceled"], "webhook_base": "", "created_at": 1795935413145, "started_at": null, "completed_at": 1795935413153, "expires_at": 5395935413154, "run": 1, "executor_id": null, "attempts": 0, "failed_starts": 0, "resumed_from_step": null, "stage": "paused", "step": 0, "part": 0, "parts": 1, "progressed_at": null, "has_preview": false, "draft_steps": null, "has_draft": false, "pausing": false, "warnings": null, "error_code": null, "error_message": null, "clips": 1, "evaluations": 3, "denoise_flops": 215875584, "attention_flops": 3538944, "decode_flops": 286720000, "pixels": 4096}','pending',0,0,NULL,NULL,1795935413154,1795935413154,NULL);
CREATE TABLE hunyuan_events (
	number INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	job_id TEXT NOT NULL, 
	run INTEGER NOT NULL, 
	change TEXT NOT NULL, 
	state TEXT NOT NULL, 
	stage TEXT, 
	step INTEGER NOT NULL, 
	part INTEGER DEFAULT '0' NOT NULL, 
	parts INTEGER DEFAULT '1' NOT NULL, 
	at BIGINT NOT NULL, 
	FOREIGN KEY(job_id) REFERENCES hunyuan_jobs (id) ON DELETE CASCADE
);
INSERT INTO "hunyuan_events" VALUES(1,'18ec71be24638d57be20c4bc93e3',1,'state','pending','queued',0,0,1,1795935412888);
INSERT INTO "hunyuan_events" VALUES(2,'18ec71be24638d57be20c4bc93e3',1,'state','in_progress','loading',0,0,1,1795935412910);
INSERT INTO "hunyuan_events" VALUES(3,'18ec71be24638d57be20c4bc93e3',1,'progress','in_progress','encoding',0,0,1,1795935412922);
INSERT INTO "hunyuan_events" VALUES(4,'18ec71be24638d57be20c4bc93e3',1,'progress','in_progress','denoising',0,0,1,1795935412925);
INSERT INTO "hunyuan_events" VALUES(5,'18ec71be24638d57be20c4bc93e3',1,'progress','in_progress','denoising',1,0,1,1795935412927);
INSERT INTO "hunyuan_events" VALUES(6,'18ec71be24638d57be20c4bc93e3',1,'progress','in_progress','denoising',2,0,1,1795935412933);
INSERT INTO "hunyuan_events" VALUES(7,'18ec71be24638d57be20c4bc93e3',1,'progress','in_progress','denoising',3,0,1,1795935412937);
INSERT INTO "hunyuan_events" VALUES(8,'18ec71be24638d57be20c4bc93e3',1,'progress','in_progress','denoising',4,0,1,1795935412941);
INSERT INTO "hunyuan_events" VALUES(9,'18ec71be24638d57be20c4bc93e3',1,'progress','in_progress','denoising',5,0,1,1795935412943);
INSERT INTO "hunyuan_events" VALUES(10,'18ec71be24638d57be20c4bc93e3',1,'progress','in_progress','decoding',5,0,1,1795935412945);
INSERT INTO "hunyuan_events" VALUES(11,'18ec71be24638d57be20c4bc93e3',1,'progress','in_progress','publishing',5,0,1,1795935412949);
INSERT INTO "hunyuan_events" VALUES(12,'18ec71be24638d57be20c4bc93e3',1,'state','completed','publishing',5,0,1,1795935412952);
INSERT INTO "hunyuan_events" VALUES(13,'18ec71be28df1a29b5aaf90dbeac',1,'state','pending','queued',0,0,1,1795935412958);
INSERT INTO "hunyuan_events" VALUES(14,'18ec71be28df1a29b5aaf90dbeac',1,'state','in_progress','loading',0,0,1,1795935412962);
INSERT INTO "hunyuan_events" VALUES(15,'18ec71be28df1a29b5aaf90dbeac',1,'progress','in_progress','encoding',0,0,1,1795935412965);
INSERT INTO "hunyuan_events" VALUES(16,'18ec71be28df1a29b5aaf90dbeac',1,'progress','in_progress','denoising',0,0,1,1795935412969);
INSERT INTO "hunyuan_events" VALUES(17,'18ec71be28df1a29b5aaf90dbeac',1,'progress','in_progress','denoising',1,0,1,1795935412972);
INSERT INTO "hunyuan_events" VALUES(18,'18ec71be28df1a29b5aaf90dbeac',1,'progress','in_progress','denoising',2,0,1,1795935412980);
INSERT INTO "hunyuan_events" VALUES(19,'18ec71be28df1a29b5aaf90dbeac',1,'state','failed','denoising',2,0,1,1795935412982);
INSERT INTO "hunyuan_events" VALUES(20,'18ec71be2aa07cd99b9c297c27de',1,'state','pending','queued',0,0,1,1795935412987);
INSERT INTO "hunyuan_events" VALUES(21,'18ec71be2aa07cd99b9c297c27de',1,'state','in_progress','loading',0,0,1,1795935412990);
INSERT INTO "hunyuan_events" VALUES(22,'18ec71be2aa07cd99b9c297c27de',1,'progress','in_progress','encoding',0,0,1,1795935412993);
INSERT INTO "hunyuan_events" VALUES(23,'18ec71be2aa07cd99b9c297c27de',1,'progress','in_progress','denoising',0,0,1,1795935412994);
INSERT INTO "hunyuan_events" VALUES(24,'18ec71be2aa07cd99b9c297c27de',1,'progress','in_progress','denoising',1,0,1,1795935412995);
INSERT INTO "hunyuan_events" VALUES(25,'18ec71be2aa07cd99b9c297c27de',1,'state','failed','denoising',1,0,1,1795935413001);
INSERT INTO "hunyuan_events" VALUES(26,'18ec71be2aa07cd99b9c297c27de',2,'state','pending','queued',1,0,1,1795935413007);
INSERT INTO "hunyuan_events" VALUES(27,'18ec71be2aa07cd99b9c297c27de',2,'state','pending','paused',1,0,1,1795935413011);
INSERT INTO "hunyuan_events" VALUES(28,'18ec71be2c4bd0521cc70ec9a274',1,'state','pending','queued',0,0,1,1795935413015);
INSERT INTO "hunyuan_events" VALUES(29,'18ec71be2c4bd0521cc70ec9a274',1,'state','in_progress','loading',0,0,1,1795935413018);
INSERT INTO "hunyuan_events" VALUES(30,'18ec71be2c4bd0521cc70ec9a274',1,'progress','in_progress','encoding',0,0,1,1795935413023);
INSERT INTO "hunyuan_events" VALUES(31,'18ec71be2c4bd0521cc70ec9a274',1,'progress','in_progress','denoising',0,0,1,1795935413025);
INSERT INTO "hunyuan_events" VALUES(32,'18ec71be2c4bd0521cc70ec9a274',1,'progress','in_progress','denoising',1,0,1,1795935413029);
INSERT INTO "hunyuan_events" VALUES(33,'18ec71be2c4bd0521cc70ec9a274',1,'progress','in_progress','denoising',2,0,1,1795935413030);
INSERT INTO "hunyuan_events" VALUES(34,'18ec71be2c4bd0521cc70ec9a274',1,'state','pending','paused',2,0,1,1795935413032);
INSERT INTO "hunyuan_events" VALUES(35,'18ec71be2d70eec8fdfa439ddd8e',1,'state','pending','queued',0,0,1,1795935413034);
INSERT INTO "hunyuan_events" VALUES(36,'18ec71be2d70eec8fdfa439ddd8e',1,'state','in_progress','loading',0,0,1,1795935413038);
INSERT INTO "hunyuan_events" VALUES(37,'18ec71be2d70eec8fdfa439ddd8e',1,'progress','in_progress','encoding',0,0,1,1795935413041);
INSERT INTO "hunyuan_events" VALUES(38,'18ec71be2d70eec8fdfa439ddd8e',1,'progress','in_progress','denoising',0,0,1,1795935413043);
INSERT INTO "hunyuan_events" VALUES(39,'18ec71be2d70eec8fdfa439ddd8e',1,'progress','in_progress','denoising',1,0,1,1795935413045);
INSERT INTO "hunyuan_events" VALUES(40,'18ec71be2d70eec8fdfa439ddd8e',1,'progress','in_progress','denoising',2,0,1,1795935413046);
INSERT INTO "hunyuan_events" VALUES(41,'18ec71be2d70eec8fdfa439ddd8e',1,'progress','in_progress','denoising',3,0,1,1795935413048);
INSERT INTO "hunyuan_events" VALUES(42,'18ec71be2d70eec8fdfa439ddd8e',1,'state','canceled','denoising',3,0,1,1795935413050);
INSERT INTO "hunyuan_events" VALUES(43,'18ec71be2fcd955cb73186bb4c58',1,'state','pending','queued',0,0,1,1795935413074);
INSERT INTO "hunyuan_events" VALUES(44,'18ec71be2fcd955cb73186bb4c58',1,'state','in_progress','loading',0,0,1,1795935413076);
INSERT INTO "hunyuan_events" VALUES(45,'18ec71be2fcd955cb73186bb4c58',1,'progress','in_progress','encoding',0,0,1,1795935413077);
INSERT INTO "hunyuan_events" VALUES(46,'18ec71be2fcd955cb73186bb4c58',1,'progress','in_progress','denoising',0,0,1,1795935413081);
INSERT INTO "hunyuan_events" VALUES(47,'18ec71be2fcd955cb73186bb4c58',1,'progress','in_progress','denoising',1,0,1,1795935413084);
INSERT INTO "hunyuan_events" VALUES(48,'18ec71be2fcd955cb73186bb4c58',1,'state','in_progress','denoising',1,0,1,1795935413086);
INSERT INTO "hunyuan_events" VALUES(49,'18ec71be30ae03706a038de421be',1,'state','pending','queued',0,0,1,1795935413088);
INSERT INTO "hunyuan_events" VALUES(50,'18ec71be30ae03706a038de421be',1,'state','in_progress','loading',0,0,1,1795935413092);
INSERT INTO "hunyuan_events" VALUES(51,'18ec71be30ae03706a038de421be',1,'progress','in_progress','denoising',0,0,1,1795935413095);
INSERT INTO "hunyuan_events" VALUES(52,'18ec71be30ae03706a038de421be',1,'progress','in_progress','denoising',1,0,1,1795935413097);
INSERT INTO "hunyuan_events" VALUES(53,'18ec71be30ae03706a038de421be',1,'progress','in_progress','denoising',2,0,1,1795935413098);
INSERT INTO "hunyuan_events" VALUES(54,'18ec71be30ae03706a038de421be',1,'progress','in_progress','denoising',3,0,1,1795935413105);
INSERT INTO "hunyuan_events" VALUES(55,'18ec71be2aa07cd99b9c297c27de',3,'state','pending','queued',1,0,1,1795935413110);
INSERT INTO "hunyuan_events" VALUES(56,'18ec71be32787da9e3bafc66a31b',1,'state','pending','queued',0,0,1,1795935413119);
INSERT INTO "hunyuan_events" VALUES(57,'18ec71be32787da9e3bafc66a31b',1,'state','pending','paused',0,0,1,1795935413122);
INSERT INTO "hunyuan_events" VALUES(58,'18ec71be32e9a178e95776dee74f',1,'state','pending','queued',0,0,1,1795935413126);
INSERT INTO "hunyuan_events" VALUES(59,'18ec71be32e9a178e95776dee74f',1,'state','canceled','queued',0,0,1,1795935413133);
INSERT INTO "hunyuan_events" VALUES(60,'18ec71be3416158a6fe881788386',1,'state','pending','queued',0,0,1,1795935413146);
INSERT INTO "hunyuan_events" VALUES(61,'18ec71be3416158a6fe881788386',1,'state','pending','paused',0,0,1,1795935413150);
INSERT INTO "hunyuan_events" VALUES(62,'18ec71be3416158a6fe881788386',1,'state','canceled','paused',0,0,1,1795935413154);
INSERT INTO "hunyuan_events" VALUES(63,'18ec71be34cb090015a224c45e12',1,'state','pending','queued',0,0,1,1795935413158);
INSERT INTO "hunyuan_events" VALUES(64,'18ec71be356727984b1c07d68d61',1,'state','pending','queued',0,0,1,1795935413168);
INSERT INTO "hunyuan_events" VALUES(65,'18ec71be35cf23f63cc3cc134ca5',1,'state','pending','queued',0,0,1,1795935413175);
INSERT INTO "hunyuan_events" VALUES(66,'18ec71be3605d3a404dd9c282de7',1,'state','pending','queued',0,0,1,1795935413178);
CREATE TABLE hunyuan_jobs (
	id TEXT NOT NULL, 
	owner TEXT DEFAULT '' NOT NULL, 
	state TEXT NOT NULL, 
	model TEXT NOT NULL, 
	params JSON NOT NULL, 
	metadata JSON NOT NULL, 
	priority INTEGER NOT NULL, 
	turn INTEGER DEFAULT '0' NOT NULL, 
	remixed_from TEXT, 
	seconds FLOAT, 
	webhook_url TEXT, 
	webhook_events JSON, 
	webhook_base TEXT, 
	created_at BIGINT NOT NULL, 
	started_at BIGINT, 
	completed_at BIGINT, 
	expires_at BIGINT, 
	run INTEGER NOT NULL, 
	executor_id TEXT, 
	attempts INTEGER NOT NULL, 
	failed_starts INTEGER NOT NULL, 
	resumed_from_step INTEGER, 
	stage TEXT, 
	step INTEGER NOT NULL, 
	part INTEGER DEFAULT '0' NOT NULL, 
	parts INTEGER DEFAULT '1' NOT NULL, 
	progressed_at BIGINT, 
	has_preview BOOLEAN NOT NULL, 
	draft_steps INTEGER, 
	has_draft BOOLEAN DEFAULT 0 NOT NULL, 
	pausing BOOLEAN DEFAULT 0 NOT NULL, 
	warnings JSON, 
	error_code TEXT, 
	error_message TEXT, 
	clips FLOAT NOT NULL, 
	evaluations FLOAT DEFAULT '0' NOT NULL, 
	denoise_flops FLOAT NOT NULL, 
	attention_flops FLOAT DEFAULT '0' NOT NULL, 
	decode_flops FLOAT NOT NULL, 
	pixels FLOAT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "hunyuan_jobs" VALUES('18ec71be24638d57be20c4bc93e3','ana','completed','demo','{"prompt": "completed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',10,1,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795935412882,1795935412904,1795935412950,4000000000000,1,NULL,1,0,NULL,'publishing',5,0,1,1795935412949,0,NULL,0,0,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71be28df1a29b5aaf90dbeac','ana','failed','demo','{"prompt": "failed", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',10,1,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795935412957,1795935412962,1795935412981,4000000000000,1,NULL,1,0,NULL,'denoising',2,0,1,1795935412980,0,NULL,0,0,NULL,'broken','it broke',1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71be2aa07cd99b9c297c27de','ana','pending','demo','{"prompt": "queued again by a retry", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',10,3,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795935412986,1795935412990,NULL,NULL,3,NULL,1,0,NULL,'queued',1,0,1,NULL,0,NULL,0,0,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71be2c4bd0521cc70ec9a274','ana','pending','demo','{"prompt": "paused with its draft", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',10,1,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795935413014,1795935413018,NULL,NULL,1,NULL,1,0,NULL,'paused',2,0,1,1795935413029,0,2,1,0,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71be2d70eec8fdfa439ddd8e','ana','canceled','demo','{"prompt": "canceled while it was rendered", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',10,1,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795935413034,1795935413038,1795935413049,5395935413050,1,'vm-828e82cb0143',1,0,NULL,'denoising',3,0,1,1795935413048,0,NULL,0,0,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71be2fcd955cb73186bb4c58','ana','in_progress','demo','{"prompt": "pausing at step 1", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',10,1,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795935413073,1795935413075,NULL,NULL,1,'vm-828e82cb0143',1,0,NULL,'denoising',1,0,1,1795935413084,0,NULL,0,1,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71be30ae03706a038de421be','','in_progress','demo','{"prompt": "running at step 3", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',10,2,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795935413088,1795935413092,NULL,NULL,1,'vm-168628cfab61',1,0,NULL,'denoising',3,0,1,1795935413105,0,NULL,0,0,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71be32787da9e3bafc66a31b','ana','pending','demo','{"prompt": "paused in the queue", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',0,4,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795935413118,NULL,NULL,NULL,1,NULL,0,0,NULL,'paused',0,0,1,NULL,0,NULL,0,0,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71be32e9a178e95776dee74f','ana','canceled','demo','{"prompt": "canceled in the queue", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',0,4,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795935413125,NULL,1795935413132,5395935413132,1,NULL,0,0,NULL,'queued',0,0,1,NULL,0,NULL,0,0,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71be3416158a6fe881788386','ana','canceled','demo','{"prompt": "canceled while it was paused", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',0,4,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795935413145,NULL,1795935413153,5395935413154,1,NULL,0,0,NULL,'paused',0,0,1,NULL,0,NULL,0,0,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71be34cb090015a224c45e12','ana','pending','demo','{"prompt": "queued", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{"scene": "7"}',0,4,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795935413157,NULL,NULL,NULL,1,NULL,0,0,NULL,'queued',0,0,1,NULL,0,NULL,0,0,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71be356727984b1c07d68d61','bo','pending','demo','{"prompt": "queued", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',0,3,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795935413167,NULL,NULL,NULL,1,NULL,0,0,NULL,'queued',0,0,1,NULL,0,NULL,0,0,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71be35cf23f63cc3cc134ca5','ana','pending','demo','{"prompt": "queued before the others", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',5,4,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795935413174,NULL,NULL,NULL,1,NULL,0,0,NULL,'queued',0,0,1,NULL,0,NULL,0,0,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_jobs" VALUES('18ec71be3605d3a404dd9c282de7','bo','pending','demo','{"prompt": "queued after the others", "negative_prompt": null, "model": "demo", "width": 64, "height": 64, "num_frames": 1, "fps": 15, "num_inference_steps": 5, "seed": 1, "guidance_scale": 6.0, "true_cfg_scale": 1.0, "flow_shift": 5.0, "step_cache": "balanced"}','{}',-5,4,NULL,NULL,'http://127.0.0.1:9/hook?token=1','["started", "completed", "failed", "canceled"]','',1795935413178,NULL,NULL,NULL,1,NULL,0,0,NULL,'queued',0,0,1,NULL,0,NULL,0,0,NULL,NULL,NULL,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
CREATE TABLE hunyuan_lanes (
	owner TEXT NOT NULL, 
	priority INTEGER NOT NULL, 
	delay INTEGER NOT NULL, 
	PRIMARY KEY (owner, priority)
);
INSERT INTO "hunyuan_lanes" VALUES('ana',0,1);
CREATE TABLE hunyuan_passage (
	id INTEGER NOT NULL, 
	at BIGINT NOT NULL, 
	doubted BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE hunyuan_queue (
	owner TEXT NOT NULL, 
	priority INTEGER NOT NULL, 
	stretch INTEGER NOT NULL, 
	model TEXT NOT NULL, 
	jobs INTEGER NOT NULL, 
	clips FLOAT NOT NULL, 
	evaluations FLOAT NOT NULL, 
	denoise_flops FLOAT NOT NULL, 
	attention_flops FLOAT NOT NULL, 
	decode_flops FLOAT NOT NULL, 
	pixels FLOAT NOT NULL, 
	PRIMARY KEY (owner, priority, stretch, model)
);
INSERT INTO "hunyuan_queue" VALUES('ana',10,0,'demo',1,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_queue" VALUES('ana',0,0,'demo',1,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_queue" VALUES('bo',0,0,'demo',1,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_queue" VALUES('ana',5,0,'demo',1,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
INSERT INTO "hunyuan_queue" VALUES('bo',-5,0,'demo',1,1.0,3.0,215875584.0,3538944.0,286720000.0,4096.0);
CREATE TABLE hunyuan_secrets (
	name TEXT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY (name)
);
CREATE TABLE hunyuan_submissions (
	"key" TEXT NOT NULL, 
	fingerprint TEXT NOT NULL, 
	job_id TEXT NOT NULL, 
	PRIMARY KEY ("key"), 
	FOREIGN KEY(job_id) REFERENCES hunyuan_jobs (id) ON DELETE CASCADE
);
INSERT INTO "hunyuan_submissions" VALUES('ana:key','fingerprint','18ec71be34cb090015a224c45e12');
CREATE TABLE hunyuan_workers (
	executor_id TEXT NOT NULL, 
	beat_at BIGINT NOT NULL, 
	profile JSON, 
	PRIMARY KEY (executor_id)
);
CREATE INDEX hunyuan_jobs_lane ON hunyuan_jobs (state, stage, owner, priority, turn, id);
CREATE INDEX hunyuan_jobs_of_owner ON hunyuan_jobs (owner, id);
CREATE INDEX hunyuan_jobs_of_owner_state ON hunyuan_jobs (owner, state, id);
CREATE INDEX hunyuan_jobs_expiry ON hunyuan_jobs (expires_at);
CREATE INDEX hunyuan_jobs_state ON hunyuan_jobs (state, id);
CREATE INDEX hunyuan_events_job ON hunyuan_events (job_id, number);
CREATE INDEX hunyuan_deliveries_next ON hunyuan_deliveries (next_attempt_at, owner, receiver);
CREATE INDEX hunyuan_deliveries_job ON hunyuan_deliveries (job_id);
CREATE INDEX hunyuan_submissions_job ON hunyuan_submissions (job_id);
CREATE TRIGGER hunyuan_queue_entered AFTER INSERT ON hunyuan_jobs BEGIN 
    INSERT INTO hunyuan_queue (owner, priority, stretch, model, jobs, clips, evaluations, denoise_flops, attention_flops, decode_flops, pixels)
    SELECT NEW.owner, NEW.priority, NEW.turn >> 6, NEW.model, 1,
        NEW.clips, NEW.evaluations, NEW.denoise_flops, NEW.attention_flops, NEW.decode_flops, NEW.pixels
    WHERE NEW.state = 'pending' AND NEW.stage = 'queued'
    ON CONFLICT (owner, priority, stretch, model) DO UPDATE
    SET jobs = hunyuan_queue.jobs + excluded.jobs, clips = hunyuan_queue.clips + excluded.clips, evaluations = hunyuan_queue.evaluations + excluded.evaluations, denoise_flops = hunyuan_queue.denoise_flops + excluded.denoise_flops, attention_flops = hunyuan_queue.attention_flops + excluded.attention_flops, decode_flops = hunyuan_queue.decode_flops + excluded.decode_flops, pixels = hunyuan_queue.pixels + excluded.pixels;
 END;
CREATE TRIGGER hunyuan_queue_moved AFTER UPDATE OF state, stage, turn ON hunyuan_jobs BEGIN 
    UPDATE hunyuan_queue
    SET jobs = jobs - 1, clips = clips - OLD.clips, evaluations = evaluations - OLD.evaluations, denoise_flops = denoise_flops - OLD.denoise_flops, attention_flops = attention_flops - OLD.attention_flops, decode_flops = decode_flops - OLD.decode_flops, pixels = pixels - OLD.pixels
    WHERE owner = OLD.owner AND priority = OLD.priority AND stretch = OLD.turn >> 6 AND model = OLD.model AND OLD.state = 'pending' AND OLD.stage = 'queued';
    DELETE FROM hunyuan_queue WHERE owner = OLD.owner AND priority = OLD.priority AND stretch = OLD.turn >> 6 AND model = OLD.model AND jobs = 0;

    INSERT INTO hunyuan_queue (owner, priority, stretch, model, jobs, clips, evaluations, denoise_flops, attention_flops, decode_flops, pixels)
    SELECT NEW.owner, NEW.priority, NEW.turn >> 6, NEW.model, 1,
        NEW.clips, NEW.evaluations, NEW.denoise_flops, NEW.attention_flops, NEW.decode_flops, NEW.pixels
    WHERE NEW.state = 'pending' AND NEW.stage = 'queued'
    ON CONFLICT (owner, priority, stretch, model) DO UPDATE
    SET jobs = hunyuan_queue.jobs + excluded.jobs, clips = hunyuan_queue.clips + excluded.clips, evaluations = hunyuan_queue.evaluations + excluded.evaluations, denoise_flops = hunyuan_queue.denoise_flops + excluded.denoise_flops, attention_flops = hunyuan_queue.attention_flops + excluded.attention_flops, decode_flops = hunyuan_queue.decode_flops + excluded.decode_flops, pixels = hunyuan_queue.pixels + excluded.pixels;
 END;
CREATE TRIGGER hunyuan_queue_left AFTER DELETE ON hunyuan_jobs BEGIN 
    UPDATE hunyuan_queue
    SET jobs = jobs - 1, clips = clips - OLD.clips, evaluations = evaluations - OLD.evaluations, denoise_flops = denoise_flops - OLD.denoise_flops, attention_flops = attention_flops - OLD.attention_flops, decode_flops = decode_flops - OLD.decode_flops, pixels = pixels - OLD.pixels
    WHERE owner = OLD.owner AND priority = OLD.priority AND stretch = OLD.turn >> 6 AND model = OLD.model AND OLD.state = 'pending' AND OLD.stage = 'queued';
    DELETE FROM hunyuan_queue WHERE owner = OLD.owner AND priority = OLD.priority AND stretch = OLD.turn >> 6 AND model = OLD.model AND jobs = 0;
 END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('hunyuan_events',66);
COMMIT;
